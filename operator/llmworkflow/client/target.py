"""Chooses where a command works: where it was told to, else the cluster of the kubeconfig, else this machine."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from llmworkflow.client.cluster import Cluster
from llmworkflow.client.connect import connect, in_pod, kubeconfig_files, refuse_absent
from llmworkflow.client.errors import ClientError
from llmworkflow.client.machine import Machine


def has_cluster() -> bool:
    """Whether there is a cluster to speak to."""
    return bool(kubeconfig_files()) or in_pod()


def local_flag() -> str:
    """What a command that is about this machine needs to be told, where there is a cluster, too."""
    return " --local" if has_cluster() else ""


@contextmanager
def chosen(
    local: bool = False, context: str | None = None, namespace: str | None = None
) -> Iterator[Cluster | Machine]:
    """The place that is meant, for as long as the block lasts.

    Raises:
        ClientError: the options contradict each other, or the kubeconfig cannot be used.
    """
    if local and context:
        raise ClientError("--local is this machine, and --context a cluster: give one of them")
    if local or not (context or has_cluster()):
        if not local:
            refuse_absent()
        yield Machine(namespace)
        return
    with cluster(context, namespace, "without --context this machine is meant") as found:
        yield found


@contextmanager
def cluster(context: str | None, namespace: str | None, otherwise: str) -> Iterator[Cluster]:
    """The same where only a cluster can be meant; `otherwise` is what to do without one."""
    with closing(connect(context, otherwise)) as connection:
        yield Cluster(connection, namespace)


def is_obvious(local: bool, context: str | None) -> bool:
    """Whether the choice needs no word: it was told, or there is only one place that has workflows."""
    return local or bool(context) or not has_cluster() or not Machine(None).has_workflows()
