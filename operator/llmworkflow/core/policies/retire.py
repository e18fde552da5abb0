"""A stage that the spec no longer has: its child goes first, then the stage itself."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.states import move


def retire(status: StageStatus) -> StageStatus:
    """The stage while its child is being removed."""
    if status.state is StageState.STOPPING:
        return status
    message = f"stage {status.name} is no longer in the spec"
    return move(status, StageState.STOPPING, Reason.REMOVED, message)
