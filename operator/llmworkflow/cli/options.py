"""Options and look-ups that several commands share."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

import click

from llmworkflow.client.cluster import Cluster
from llmworkflow.client.errors import ClientError
from llmworkflow.client.machine import Machine
from llmworkflow.client.target import chosen, cluster, is_obvious
from llmworkflow.client.workflow import Target, Workflow
from llmworkflow.core.commands import in_namespace
from llmworkflow.local.home import WorkflowHome

NAMESPACE = click.option(
    "-n", "--namespace", help="Namespace; default, or that of the only one of this name, when omitted."
)
PORT = click.IntRange(1, 65535)
NOTE = click.option("--note", default="", help="Why, to be kept with the decision.")
LOCAL = click.option("--local", is_flag=True, help="Workflows of this machine, not of a cluster.")

_CONTEXT = click.option(
    "--context", metavar="NAME", help="Context of the kubeconfig; its current one when omitted."
)
_OF_CONTEXT = click.option(
    "-n", "--namespace", help="Namespace; the context's own, or default, when omitted."
)

P = ParamSpec("P")
OnTarget = Callable[Concatenate[Target, P], int | None]
OnCluster = Callable[Concatenate[Cluster, P], int | None]


def on_target(command: OnTarget[P]) -> Callable[P, int | None]:
    """Give a command the options that say where it works, and as its first argument that place."""

    @LOCAL
    @_CONTEXT
    @_OF_CONTEXT
    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> int | None:
        local = bool(kwargs.pop("local"))
        context, namespace = (_text(kwargs.pop(option)) for option in ("context", "namespace"))
        with chosen(local, context, namespace) as target:
            if not is_obvious(local, context):
                click.echo(f"in {target.place}; --local is this machine", err=True)
            return command(target, *args, **kwargs)

    return wrapped


def on_cluster(otherwise: str) -> Callable[[OnCluster[P]], Callable[P, int | None]]:
    """The same for a command that is of use on a cluster alone; on this machine there is another one `otherwise`."""

    def on_it(command: OnCluster[P]) -> Callable[P, int | None]:
        @_CONTEXT
        @_OF_CONTEXT
        @wraps(command)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> int | None:
            context, namespace = (_text(kwargs.pop(option)) for option in ("context", "namespace"))
            with cluster(context, namespace, f"on this machine, `{otherwise}`") as found:
                return command(found, *args, **kwargs)

        return wrapped

    return on_it


def _text(value: object) -> str | None:
    assert value is None or isinstance(value, str)
    return value


def only(target: Target, name: str | None) -> Workflow:
    """The workflow of a name, or the only one that there is.

    Raises:
        ClientError: there is none of this name, or no name and not exactly one workflow.
    """
    if name is not None:
        return target.workflow(name)
    found = target.workflows()
    if not found:
        raise ClientError(f"there is no workflow {where(target)}")
    if len(found) > 1:
        known = ", ".join(f"{item.name}{in_namespace(item.namespace)}" for item in found)
        raise ClientError(f"there are several workflows {where(target)}: name one of {known}")
    return found[0]


def where(target: Target) -> str:
    """The place of a target as an adverb."""
    return f"{'on' if target.place == 'this machine' else 'in'} {target.place}"


def find_home(namespace: str | None, name: str) -> WorkflowHome:
    """The folder of a workflow of this machine.

    Raises:
        LocalError: there is none of this name; names those that there are.
    """
    return Machine(namespace).workflow(name).home
