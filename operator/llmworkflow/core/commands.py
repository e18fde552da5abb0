"""The commands that people are told to run, whole, so that they can be typed as they stand."""

from llmworkflow.api.names import Verb
from llmworkflow.api.spec.workflow import Metadata


def command(metadata: Metadata, verb: Verb, *arguments: str) -> str:
    """The command that asks for something of this workflow."""
    space = () if metadata.namespace == "default" else (f"-n {metadata.namespace}",)
    return " ".join(("llmworkflow", verb, metadata.name, *arguments, *space))


def retry_from(metadata: Metadata, stage: str) -> str:
    """The command that runs a stage of this workflow again."""
    return command(metadata, Verb.RETRY, f"--from {stage}")
