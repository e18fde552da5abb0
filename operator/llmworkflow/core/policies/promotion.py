"""What a serving stage is brought to: what the spec asks for once that may be, or what it served before."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import Promotion, Refusal, StageState, StageStatus
from llmworkflow.core import promotions
from llmworkflow.core.policies.approval import consented, rejected
from llmworkflow.core.policies.dependencies import unmet
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.policies.name import taken
from llmworkflow.core.policies.retry import Failure, pausing, stop
from llmworkflow.core.policies.start import crowded, held, idle, request_child
from llmworkflow.core.policies.suspend import suspended
from llmworkflow.core.policies.unrenderable import unrenderable
from llmworkflow.core.states import clip, explain, move
from llmworkflow.core.view import View, keeps_child

_S = StageState
_UP = (_S.SERVING, _S.UPGRADING, _S.DEGRADED)
_COMING_UP = (_S.QUEUED, _S.STARTING, _S.RUNNING, _S.CHECKING)


def promote(view: View) -> StageStatus | None:
    """Bring a service that is there to what it is to serve now."""
    status = view.status
    if status.state not in (*_UP, *_COMING_UP) or not keeps_child(status):
        return None
    goal = goal_of(view)
    if isinstance(goal, Hold):
        if status.candidate is None or status.candidate.pinned:
            return None
        return give_up(view, goal.reason, goal.message)
    if goal.digest == _target(status).digest:
        return _refreshed(status, goal)
    message = f"revision {goal.revision} takes the place of {status.revision}"
    return bring(view, goal, Reason.REVISED, message)


def start_service(view: View) -> StageStatus | None:
    """Start a service: with what is to be served now, or until then with what was served last."""
    status = view.status
    if not idle(view) and status.state is not _S.AWAITING_APPROVAL:
        return None
    goal = goal_of(view)
    target = _fallback(status) if isinstance(goal, Hold) else goal
    if isinstance(goal, Hold) and target is None:
        return held(view.now_at(status.model_copy(update={"revision": view.revision})), goal)
    assert target is not None, "either there is a goal, or what was served last"
    if hold := pausing(view) or suspended(view) or crowded(view) or taken(view) or unrenderable(view):
        return held(view, hold)
    served = status.serving is not None and status.serving.digest == target.digest
    return request_child(view, target.revision, None if served else target)


def goal_of(view: View) -> Promotion | Hold:
    """What the spec asks for now, or what it still waits for."""
    status = view.status
    if hold := unmet(view) or unrenderable(view):
        return hold
    asked = promotions.wanted(view)
    if status.refused and refuses(status.refused, asked):
        return Hold(_S.WAITING, status.refused.reason, status.refused.message)
    promoted = (status.serving, status.candidate)
    known = next((old for old in promoted if old and old.digest == asked.digest), None)
    if known and (known.approved or known is status.serving):
        return asked.model_copy(update=known.model_dump(include={"since", "user", "url", "approved"}))
    offered = {"approved": consented(view, asked.digest), "since": known.since if known else asked.since}
    return _undecided(view, asked.digest) or asked.model_copy(update=offered)


def _undecided(view: View, digest: str) -> Hold | None:
    """Whether a person has yet to agree, or did not."""
    if no := rejected(view, digest):
        return Hold(_S.FAILED, Reason.REJECTED, no)
    if not view.stage.approval.required or consented(view, digest):
        return None
    message = f"approve {view.stage.name}@{digest} to serve it, or reject it"
    return Hold(_S.AWAITING_APPROVAL, Reason.APPROVAL, message)


def refuses(refusal: Refusal, asked: Promotion) -> bool:
    """Whether the refusal is about this promotion."""
    return refusal.revision == asked.revision and refusal.digest in (None, asked.digest)


def bring(view: View, goal: Promotion, reason: str, message: str) -> StageStatus:
    """Change a service that serves in place; one that does not serve yet is made anew."""
    status = view.status
    if status.state in _COMING_UP:
        return stop(view, status.model_copy(update={"candidate": None}), reason, message)
    served = status.serving is not None and status.serving.digest == goal.digest
    changes = {
        "candidate": None if served else goal,
        "revision": goal.revision,
        "attempt": status.attempt + 1,
        "asked": view.asked,
        "started_at": view.time,
        "running_at": view.time,
        "ran_seconds": 0.0,
        "verification": None,
        "approval": None,
    }
    if status.state is _S.UPGRADING:
        return explain(status, reason, message, **changes)
    return move(status, _S.UPGRADING, reason, message, **changes)


def give_up(view: View, reason: str, message: str) -> StageStatus:
    """Drop the candidate: back to what serves, or to nothing."""
    status = view.status
    if status.serving and status.state in _UP:
        return bring(view, status.serving, reason, message)
    return stop(view, status.model_copy(update={"candidate": None}), reason, message)


def refuse(view: View, failure: Failure) -> StageStatus:
    """The candidate failed while something good serves: it is not tried again by itself."""
    status = view.status
    assert status.candidate is not None, "only a candidate can be refused"
    refusal = Refusal(
        revision=status.candidate.revision,
        digest=status.candidate.digest,
        reason=str(failure.reason),
        message=clip(failure.message),
    )
    refused = status.model_copy(update={"refused": refusal})
    return give_up(view.now_at(refused), failure.reason, failure.message)


def account(view: View) -> StageStatus | None:
    """Say why what serves is not what the spec asks for, where it is not."""
    status = view.status
    if status.state is not _S.SERVING:
        return None
    goal = goal_of(view)
    if isinstance(goal, Hold):
        return explain(status, goal.reason, f"revision {status.revision} keeps serving: {goal.message}")
    shown = status.verification.message if status.verification else ""
    return explain(status, Reason.SERVING, shown)


def _refreshed(status: StageStatus, goal: Promotion) -> StageStatus:
    """The same promotion, with what the spec and the judgements say of it now."""
    return status.model_copy(update={"candidate" if status.candidate else "serving": goal})


def _target(status: StageStatus) -> Promotion:
    target = status.candidate or status.serving
    assert target is not None, "a service that was requested has something to serve"
    return target


def _fallback(status: StageStatus) -> Promotion | None:
    """What is served while the spec's wish cannot be: a rollback under way, or what was served last."""
    if status.candidate and status.candidate.pinned:
        return status.candidate
    return status.serving
