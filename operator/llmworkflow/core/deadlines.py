"""When to look again although nothing was seen to change."""

from collections.abc import Iterator
from datetime import datetime

from llmworkflow.api.names import Reason
from llmworkflow.api.status import ScheduleStatus, StageState
from llmworkflow.core.clock import after, moment
from llmworkflow.core.policies.timeout import pending_deadline, running_deadline
from llmworkflow.core.policies.verdict import REPORT_GRACE_SECONDS
from llmworkflow.core.view import View, World


def seconds_until_next(world: World, schedule: ScheduleStatus | None) -> float | None:
    """Seconds until the first moment at which time alone changes the plan, None where there is none."""
    due = [moment for name in world.specs for moment in _deadlines(world.view(name))]
    if schedule and not world.workflow.spec.suspend:
        due.append(moment(schedule.next_run))
    return max(0.0, (min(due) - world.now).total_seconds()) if due else None


def _deadlines(view: View) -> Iterator[datetime]:
    status = view.status
    yield from filter(None, (pending_deadline(view), running_deadline(view)))
    if status.reason == Reason.BACKOFF and status.retry_at:
        yield moment(status.retry_at)
    if status.state is StageState.CHECKING and status.reason == Reason.REPORT_AWAITED and status.finished_at:
        yield after(status.finished_at, REPORT_GRACE_SECONDS)
