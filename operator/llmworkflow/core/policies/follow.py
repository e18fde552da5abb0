"""A stage follows what its child does."""

from collections.abc import Mapping
from typing import Any

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.clock import elapsed
from llmworkflow.core.observation import ChildPhase, ChildSeen
from llmworkflow.core.states import awaits_pods, explain, move
from llmworkflow.core.view import View, keeps_child

_S, _P = StageState, ChildPhase

_NEXT: Mapping[tuple[StageState, ChildPhase], tuple[StageState, Reason]] = {
    (_S.STARTING, _P.QUEUED): (_S.QUEUED, Reason.QUEUED),
    (_S.STARTING, _P.RUNNING): (_S.RUNNING, Reason.RUNNING),
    (_S.STARTING, _P.READY): (_S.RUNNING, Reason.RUNNING),
    (_S.STARTING, _P.UNHEALTHY): (_S.RUNNING, Reason.RUNNING),
    (_S.STARTING, _P.SUCCEEDED): (_S.RUNNING, Reason.RUNNING),
    (_S.QUEUED, _P.PENDING): (_S.STARTING, Reason.PENDING),
    (_S.QUEUED, _P.RUNNING): (_S.STARTING, Reason.PENDING),
    (_S.QUEUED, _P.READY): (_S.STARTING, Reason.PENDING),
    (_S.QUEUED, _P.UNHEALTHY): (_S.STARTING, Reason.PENDING),
    (_S.QUEUED, _P.SUCCEEDED): (_S.STARTING, Reason.PENDING),
    (_S.QUEUED, _P.FAILED): (_S.STARTING, Reason.PENDING),
    (_S.RUNNING, _P.QUEUED): (_S.QUEUED, Reason.QUEUED),
    (_S.RUNNING, _P.PENDING): (_S.STARTING, Reason.PENDING),
    (_S.RUNNING, _P.READY): (_S.CHECKING, Reason.VERIFYING),
    # only an endpoint is checked while its child is there and moves
    (_S.CHECKING, _P.QUEUED): (_S.QUEUED, Reason.QUEUED),
    (_S.CHECKING, _P.PENDING): (_S.STARTING, Reason.PENDING),
    (_S.CHECKING, _P.RUNNING): (_S.RUNNING, Reason.RUNNING),
    (_S.CHECKING, _P.UNHEALTHY): (_S.RUNNING, Reason.UNHEALTHY),
    (_S.SERVING, _P.QUEUED): (_S.QUEUED, Reason.QUEUED),
    (_S.SERVING, _P.PENDING): (_S.DEGRADED, Reason.UNHEALTHY),
    (_S.SERVING, _P.UNHEALTHY): (_S.DEGRADED, Reason.UNHEALTHY),
    (_S.UPGRADING, _P.QUEUED): (_S.QUEUED, Reason.QUEUED),
    (_S.DEGRADED, _P.QUEUED): (_S.QUEUED, Reason.QUEUED),
}


def follow(view: View) -> StageStatus | None:
    """Go where the child's phase leads; while it is pending, say what its pods wait for."""
    status, seen = view.status, view.seen
    if seen is None:
        return _refused(view)
    if seen.terminating or not keeps_child(status):
        return None
    if step := _NEXT.get((status.state, seen.phase)):
        state, reason = step
        return move(status, state, reason, _message(view, seen), **_clocks(view, state))
    return _waiting(status, seen)


def _waiting(status: StageStatus, seen: ChildSeen) -> StageStatus | None:
    """Say what pods wait for where they are awaited, or no more."""
    if status.state is _S.STARTING and seen.phase is _P.PENDING:
        return explain(status, seen.reason or Reason.PENDING, seen.message)
    if status.state is _S.DEGRADED and seen.phase is _P.PENDING and seen.message:
        return explain(status, seen.reason or Reason.UNHEALTHY, seen.message)
    if status.state is _S.UPGRADING and seen.phase is _P.RUNNING:
        if seen.reason:
            return explain(status, seen.reason, seen.message)
        return explain(status, Reason.UPGRADING) if awaits_pods(status) else None
    return None


def _refused(view: View) -> StageStatus | None:
    """Say why the child that was requested is not made; it is tried again and again."""
    child = view.status.child
    found = view.world.observed.refused.get(child.name) if child else None
    if view.status.state is not _S.STARTING or found is None:
        return None
    return explain(view.status, found.reason, found.message)


def _message(view: View, seen: ChildSeen) -> str:
    if seen.phase is _P.QUEUED:
        return seen.message or _held(view, seen)
    return seen.message if seen.phase in (_P.PENDING, _P.UNHEALTHY) else ""


def _held(view: View, seen: ChildSeen) -> str:
    """Who holds the child back, and where to look."""
    own, common = view.stage.ray, view.world.workflow.spec.ray
    queue = (own.queue if own else None) or common.queue
    remedy = f" {queue}; see that LocalQueue and its Workload" if queue else ""
    return f"{seen.kind} {seen.name} is held back by its queue{remedy}"


def _clocks(view: View, state: StageState) -> dict[str, Any]:
    """What the step means for the timeouts: neither runs while queued, and running time adds up."""
    status = view.status
    if state is _S.RUNNING:
        return {"running_at": status.running_at or view.time}
    if state is _S.STARTING or state is _S.QUEUED:
        ran = elapsed(status.running_at, view.world.now) if status.running_at else 0
        return {"started_at": view.time, "running_at": None, "ran_seconds": status.ran_seconds + ran}
    return {}
