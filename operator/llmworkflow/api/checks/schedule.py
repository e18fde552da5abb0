"""Times of a schedule, as in a CronJob."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import available_timezones

from llmworkflow.api.cron import next_time
from llmworkflow.api.problems import Problem
from llmworkflow.api.spec.workflow import LLMWorkflow

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of spec.schedule."""
    schedule = workflow.spec.schedule
    if schedule is None:
        return
    try:
        next_time(schedule.cron, None, _ANY_TIME)
    except ValueError as error:
        remedy = "write minute, hour, day of month, month and day of week, such as 0 3 * * 1"
        yield Problem(("spec", "schedule", "cron"), str(error), remedy, value=schedule.cron)
    if schedule.time_zone is not None and schedule.time_zone not in available_timezones():
        yield Problem(
            ("spec", "schedule", "timeZone"),
            "there is no such time zone",
            "use a name such as Europe/Berlin",
            value=schedule.time_zone,
        )
