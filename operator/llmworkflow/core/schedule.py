"""Whether a time of the schedule has come, and when the next one does."""

from dataclasses import dataclass
from datetime import datetime

from llmworkflow.api.cron import next_time
from llmworkflow.api.spec.workflow import Schedule
from llmworkflow.api.status import ScheduleStatus
from llmworkflow.core.clock import moment, stamp


@dataclass(frozen=True)
class Turn:
    """What a look at the clock says."""

    status: ScheduleStatus | None
    due: bool = False


def turn(
    schedule: Schedule | None, before: ScheduleStatus | None, now: datetime, suspended: bool, busy: str
) -> Turn:
    """What the schedule asks for now. `busy` says what is under way, if anything is."""
    if schedule is None:
        return Turn(None)
    times = f"{schedule.cron} {schedule.time_zone or 'UTC'}"
    if before and before.times == times and suspended:
        return Turn(before)
    coming = stamp(next_time(schedule.cron, schedule.time_zone, now))
    if before and before.times == times and now < moment(before.next_run):
        # It is nearer than it was where the clock was put back.
        return Turn(before.model_copy(update={"next_run": min(coming, before.next_run)}))
    if before is None or before.times != times:
        return Turn(ScheduleStatus(times=times, next_run=coming))
    if busy:
        skipped = {"skipped": before.next_run, "message": busy, "next_run": coming}
        return Turn(before.model_copy(update=skipped))
    return Turn(before.model_copy(update={"last_run": stamp(now), "next_run": coming}), due=True)
