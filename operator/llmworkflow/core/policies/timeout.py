"""An attempt may not wait for its pods, or work, for longer than it is given."""

from datetime import datetime

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.clock import after
from llmworkflow.core.policies.retry import Failure, failed
from llmworkflow.core.states import awaits_pods
from llmworkflow.core.view import View

# Until an endpoint is verified: Ray Serve gives an engine an hour to start, then tries again.
SERVE_LIMIT_SECONDS = 3600

_S = StageState


def overdue(view: View) -> Failure | None:
    """Why the attempt is to end, None while it has time."""
    pending, running = pending_deadline(view), running_deadline(view)
    if pending is not None and view.world.now >= pending:
        return _still_pending(view)
    return exceeded(view) if running is not None and view.world.now >= running else None


def late(view: View) -> StageStatus | None:
    """A job that takes too long ends; the next attempt goes on from its checkpoint."""
    failure = overdue(view)
    return failed(view, failure) if failure else None


def exceeded(view: View) -> Failure:
    """The failure of an attempt that worked for too long."""
    status = view.status
    diagnosis = f" ({status.message})" if awaits_pods(status) else ""
    return Failure(
        Reason.TIMEOUT,
        f"attempt {status.attempt} ran for {_limit(view)} s{diagnosis}; raise timeoutSeconds of stage "
        f"{view.stage.name} if it needs more",
    )


def pending_deadline(view: View) -> datetime | None:
    """When the pods must be there."""
    status, limit = view.status, view.stage.pending_timeout_seconds
    if status.state is not _S.STARTING or status.started_at is None or limit is None:
        return None
    return after(status.started_at, limit)


def running_deadline(view: View) -> datetime | None:
    """When the work must be done."""
    status, limit = view.status, _limit(view)
    if limit is None or status.running_at is None or not _at_work(view):
        return None
    return after(status.running_at, limit - status.ran_seconds)


def _still_pending(view: View) -> Failure:
    """Pods that never come: another attempt would meet the same, and holds what others could use."""
    diagnosis = f": {view.status.message}" if view.status.message else ""
    message = f"pods were pending for {view.stage.pending_timeout_seconds} s{diagnosis}"
    return Failure(Reason.PENDING_TIMEOUT, message, retryable=False)


def _limit(view: View) -> int | None:
    return view.stage.timeout_seconds or (SERVE_LIMIT_SECONDS if view.stage.serve else None)


def _at_work(view: View) -> bool:
    if view.stage.serve:
        return view.status.state in (_S.RUNNING, _S.CHECKING, _S.UPGRADING)
    return view.status.state is _S.RUNNING
