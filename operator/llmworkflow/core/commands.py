"""The commands that people are told to run, whole, so that they can be typed as they stand."""

from llmworkflow.api.names import Verb
from llmworkflow.api.spec.workflow import Metadata


def command(metadata: Metadata, verb: Verb, *arguments: str) -> str:
    """The command that asks for something of this workflow."""
    return " ".join(("llmworkflow", verb, metadata.name, *arguments)) + in_namespace(metadata.namespace)


def retry_from(metadata: Metadata, stage: str) -> str:
    """The command that runs a stage of this workflow again."""
    return command(metadata, Verb.RETRY, f"--from {stage}")


def in_namespace(namespace: str) -> str:
    """The option that a command takes for a workflow of a namespace; none where that is the usual one."""
    return "" if namespace == "default" else f" -n {namespace}"
