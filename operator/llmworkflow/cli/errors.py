"""How the command ends: 0 done, 1 failed, 2 bad input, 130 interrupted; with a line for people, never a traceback."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

import click

from llmworkflow.api.problems import InvalidWorkflow
from llmworkflow.client.errors import ClientError
from llmworkflow.client.workflow import Workflow
from llmworkflow.local.errors import LocalError

DONE, FAILED, BAD_INPUT = 0, 1, 2
INTERRUPTED = 130  # as shells have it after Ctrl-C

P = ParamSpec("P")
W = TypeVar("W", bound=Workflow)


def each(workflows: Iterable[W], act: Callable[[W], object]) -> int:
    """Do something with every workflow; what hinders it with one is told, and keeps nobody from the others."""
    code = DONE
    for workflow in workflows:
        try:
            act(workflow)
        except LocalError as error:
            click.echo(f"error: {workflow.namespace}/{workflow.name}: {error}", err=True)
            code = FAILED
    return code


def ends_well(command: Callable[P, int | None]) -> Callable[P, NoReturn]:
    """Turn a command's result and the errors of its users into exit codes."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
        try:
            code = command(*args, **kwargs) or DONE
        except InvalidWorkflow as error:
            click.echo(str(error), err=True)
            code = BAD_INPUT
        except BrokenPipeError:
            raise  # of who reads on, such as `head`: click ends quietly then
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            click.echo(f"error: {place}{error.strerror or error}", err=True)
            code = BAD_INPUT
        except ClientError as error:
            click.echo(f"error: {error}", err=True)
            code = FAILED
        except ModuleNotFoundError as error:
            remedy = "run `make setup` in the checkout, which installs what local runs need"
            click.echo(f"error: no module {error.name}: {remedy}", err=True)
            code = FAILED
        raise SystemExit(code)

    return wrapped
