"""What can keep a machine from running a workflow, and Ray from answering."""

from llmworkflow.api.errors import ClientError


class LocalError(ClientError):
    """A condition of this machine that a person must change; the message says how."""


def check_answer(status: int, text: str) -> None:
    """Tell troubles of Ray's own, which may pass, from what it refuses.

    Raises:
        ConnectionError: Ray has such a trouble.
    """
    if status >= 500:
        raise ConnectionError(f"Ray answered with {status}: {text[:400]}")
