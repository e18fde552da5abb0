"""A person cancels a stage: its child goes, and it stays as it is until it is retried or its spec changes."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.commands import retry_from
from llmworkflow.core.policies.retry import end_attempt, stop
from llmworkflow.core.requests import Request
from llmworkflow.core.states import move
from llmworkflow.core.view import View

_S = StageState
_ENDED = (_S.SUCCEEDED, _S.FAILED, _S.CANCELLED)


def cancel(view: View, request: Request) -> StageStatus | None:
    """Cancel a stage that has not ended; what has ended stays what it is."""
    status = view.status
    if status.state in _ENDED:
        return None
    by = request.user or "an unnamed user"
    message = f"cancelled by {by}; run `{retry_from(view.metadata, status.name)}` to go on"
    ended = end_attempt(view, Reason.CANCELLED, message).model_copy(
        update={"asked": view.asked, "candidate": None, "serving": None, "retry_at": None}
    )
    if view.gone and status.state is not _S.STOPPING:
        return move(ended, _S.CANCELLED, Reason.CANCELLED, message, child=None, finished_at=view.time)
    return stop(view, ended, Reason.CANCELLED, message)
