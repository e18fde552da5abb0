"""Times of a schedule, as a CronJob has them."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_NAMES = ("minute", "hour", "day-of-month", "month", "day-of-week")  # as the library calls them
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_BEYOND_CRON = re.compile(r"[LW#]", re.IGNORECASE)  # the library knows more than Kubernetes does
_WORDS = re.compile(r"[A-Z]{3}", re.IGNORECASE)  # of months and days


def next_time(cron: str, zone: str | None, after: datetime) -> datetime:
    """The first moment after another one that the times name.

    Where clocks are set forward, what would fall into the gap comes right after it; where they are set back, times
    within a day come once.

    Raises:
        ValueError: says what is wrong with the times.
    """
    fields = _fields(cron)
    try:
        times = CronSim(" ".join(fields), after.astimezone(ZoneInfo(zone) if zone else UTC))
        return next(times).astimezone(UTC)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        raise ValueError(
            f"the {name} {fields[_NAMES.index(name)]} is not readable, or out of range"
        ) from error
    except StopIteration:
        raise ValueError("no day is like this") from None


def _fields(cron: str) -> list[str]:
    fields = _NICKNAMES.get(cron.strip().lower(), cron).replace("?", "*").split()
    if len(fields) != len(_NAMES):
        raise ValueError(f"has {len(fields)} fields, not {len(_NAMES)}")
    if any(_BEYOND_CRON.search(_WORDS.sub("", field)) for field in fields):
        raise ValueError("L, W and # are not of cron")
    return fields
