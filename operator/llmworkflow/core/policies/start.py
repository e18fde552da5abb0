"""A stage's turn: what keeps it from starting, and its start."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import Child, Promotion, StageState, StageStatus
from llmworkflow.core.policies.dependencies import unmet
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.policies.name import taken
from llmworkflow.core.policies.rerun import read_by
from llmworkflow.core.policies.retry import next_attempt, pausing
from llmworkflow.core.policies.reuse import reuse
from llmworkflow.core.policies.suspend import suspended
from llmworkflow.core.policies.unrenderable import unrenderable
from llmworkflow.core.states import explain, move
from llmworkflow.core.view import View

_S = StageState


def start_job(view: View) -> StageStatus | None:
    """Start a job whose time has come, or take what an earlier one made."""
    if not idle(view):
        return None
    if hold := unmet(view) or pausing(view) or suspended(view) or crowded(view) or taken(view):
        return held(view, hold)
    if reused := reuse(view):
        return reused
    hold = unrenderable(view)
    if hold:
        return held(view, hold)
    return request_child(view, view.revision).model_copy(update={"read": read_by(view)})


def idle(view: View) -> bool:
    """Whether the stage has no child and could have one."""
    status = view.status
    return status.state is _S.WAITING or (status.state is _S.QUEUED and status.child is None)


def held(view: View, hold: Hold) -> StageStatus | None:
    """The stage waits where the hold says."""
    status = view.status
    if status.state is hold.state:
        return explain(status, hold.reason, hold.message)
    finished = {"finished_at": view.time} if hold.state is _S.FAILED else {}
    return move(status, hold.state, hold.reason, hold.message, **finished)


def crowded(view: View) -> Hold | None:
    """An earlier child is still there: never two at once."""
    if view.gone:
        return None
    return Hold(_S.WAITING, Reason.STOPPING, "an earlier child is still being removed")


def request_child(view: View, revision: str, candidate: Promotion | None = None) -> StageStatus:
    """Write down which child does the work; it is made once this is written."""
    status = view.status
    attempt = next_attempt(status)
    name = view.child_name(revision, attempt)
    return move(
        status,
        _S.STARTING,
        Reason.CREATED,
        f"{view.child_kind} {name} is requested",
        revision=revision,
        attempt=attempt,
        candidate=candidate,
        child=Child(kind=view.child_kind, name=name),
        reused=False,
        asked=view.asked,
        approval=None,
        misses=[],
        started_at=view.time,
        running_at=None,
        ran_seconds=0,
        retry_at=None,
        finished_at=None,
        progress=None,
        verification=None,
    )
