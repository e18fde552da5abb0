"""The port of the endpoint, which one run has at a time."""

import socket
from contextlib import closing

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.local.errors import LocalError
from llmworkflow.local.machine import HOST, check_port


class Port:
    """A port that a run takes before it serves, and keeps until it ends.

    Ray Serve listens with SO_REUSEPORT, so that the kernel would share the port out between two of them, and it listens
    late: when the first model is there. So runs claim a name in the kernel, which goes with the process, however that
    ends. (Without SO_REUSEPORT Ray Serve cannot listen for a minute after an endpoint that had open connections.)
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._claim: socket.socket | None = None

    def take(self) -> None:
        """Keep other runs off the port; does nothing where this run has it.

        Raises:
            LocalError: another run, or another process, has it.
        """
        if self._claim is None:
            claim = _claimed(self.number)
            try:
                check_port(self.number)
            except LocalError:
                claim.close()
                raise
            self._claim = claim

    def close(self) -> None:
        """Let others have the port."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None


def serves(workflow: LLMWorkflow) -> bool:
    """Whether the workflow has an endpoint."""
    return any(stage.serve for stage in workflow.spec.stages)


def refuse_taken(workflow: LLMWorkflow, number: int) -> None:
    """Refuse a port that the workflow's endpoint could not have now.

    Raises:
        LocalError: another run, or another process, has it.
    """
    if serves(workflow):
        with closing(Port(number)) as port:
            port.take()


def _claimed(number: int) -> socket.socket:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0llmworkflow-port-{number}")
    except OSError:
        claim.close()
        raise LocalError(
            f"port {number} on {HOST} is in use by another run: stop that run, or choose another port with --port"
        ) from None
    return claim
