"""An edit of the spec: what runs for another result stops, and what ended badly gets another chance."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.policies.retry import end_attempt, last_attempt, stop
from llmworkflow.core.states import explain
from llmworkflow.core.view import View

_S = StageState


def revise(view: View) -> StageStatus | None:
    """The spec asks for another revision than the stage works on, or has."""
    status = view.status
    if status.revision == view.revision or status.state is _S.STOPPING:
        return None
    if status.state is _S.WAITING:
        return begin(view, status)
    message = f"the spec asks for revision {view.revision} in place of {status.revision}"
    ended = end_attempt(view, Reason.REVISED, message)
    halted = stop(view, ended, Reason.REVISED, message)
    return begin(view, halted) if halted.state is _S.WAITING else halted


def revive(view: View) -> StageStatus | None:
    """What shapes a stage's attempts was edited: what failed, was cancelled or refused is tried again, and at once."""
    status = view.status
    if status.asked == view.asked:
        return None
    again = status.model_copy(update={"failures": 0, "refused": None, "asked": view.asked})
    if status.state not in (_S.FAILED, _S.CANCELLED):
        return _reconsider(again, status)
    if view.verdict and status.state is _S.FAILED:
        return None  # its gates failed, which another attempt does not change
    return stop(view, again, Reason.REVISED, "the spec was edited")


def _reconsider(again: StageStatus, status: StageStatus) -> StageStatus | None:
    """A stage that pauses waits no longer, and its refusal ends, unless a person took back what is refused."""
    taken_back = status.refused is not None and status.refused.reason == Reason.ROLLED_BACK
    paused = status.state is _S.WAITING and status.retry_at
    if not paused and (taken_back or status.refused is None):
        return None
    return again.model_copy(update={"retry_at": None, "refused": status.refused if taken_back else None})


def begin(view: View, status: StageStatus) -> StageStatus:
    """The stage at the revision that the spec asks for, with nothing done yet."""
    fresh = StageStatus(
        name=status.name,
        kind=view.stage.kind,
        state=status.state,
        revision=view.revision,
        attempt=last_attempt(status, view.revision),
        child=status.child,
        attempts=status.attempts,
        results=status.results,
        candidate=status.candidate,
        serving=status.serving,
        refused=status.refused,
    )
    return explain(fresh, status.reason, status.message)
