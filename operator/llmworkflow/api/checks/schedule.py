"""Times of a schedule, as in a CronJob."""

import re
from collections.abc import Iterator
from zoneinfo import available_timezones

from llmworkflow.api.problems import Problem
from llmworkflow.api.spec.workflow import LLMWorkflow

_MACROS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
)
_PART = re.compile(r"(\*|\?|\w+(-\w+)?)(/[1-9]\d*)?")


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of spec.schedule."""
    schedule = workflow.spec.schedule
    if schedule is None:
        return
    wrong = _wrong(schedule.cron)
    if wrong:
        remedy = "write minute, hour, day of month, month and day of week, such as 0 3 * * 1"
        yield Problem(("spec", "schedule", "cron"), wrong, remedy, value=schedule.cron)
    zones = available_timezones()  # empty where the machine has no time zone data
    if zones and schedule.time_zone is not None and schedule.time_zone not in zones:
        path = ("spec", "schedule", "timeZone")
        yield Problem(
            path, "there is no such time zone", "use a name such as Europe/Berlin", schedule.time_zone
        )


def _wrong(cron: str) -> str:
    """What is wrong with the times, or nothing."""
    if cron in _MACROS:
        return ""
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        return f"has {len(fields)} fields, not {len(_FIELDS)}"
    for field, (name, low, high) in zip(fields, _FIELDS, strict=True):
        numbers = [
            int(number) for part in field.split(",") for number in re.findall(r"\d+", part.split("/")[0])
        ]
        if not all(_PART.fullmatch(part) for part in field.split(",")):
            return f"the {name} {field} is not readable"
        if not all(low <= number <= high for number in numbers):
            return f"the {name} {field} is not within {low} and {high}"
    return ""
