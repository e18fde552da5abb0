"""The next time of a schedule, over time zones and changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow.api.cron import next_time

NIGHTLY, HOURLY, WORKDAYS = "30 2 * * *", "@hourly", "0 3 * * MON-FRI"
BERLIN = "Europe/Berlin"


@pytest.mark.capability("schedule")
@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        (NIGHTLY, None, "2026-01-01T00:00", "2026-01-01T02:30"),
        (NIGHTLY, None, "2026-01-01T02:30", "2026-01-02T02:30"),
        (NIGHTLY, BERLIN, "2026-01-01T00:00", "2026-01-01T01:30"),
        (WORKDAYS, BERLIN, "2026-07-03T12:00", "2026-07-06T01:00"),
        ("0 0 29 2 *", None, "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 0 ? * 7", None, "2026-01-01T00:00", "2026-01-04T00:00"),
        ("@yearly", "Asia/Tokyo", "2026-06-01T00:00", "2026-12-31T15:00"),
        (NIGHTLY, BERLIN, "2026-03-28T12:00", "2026-03-29T01:00"),  # 02:30 is not on that day's clocks
        (NIGHTLY, BERLIN, "2026-10-24T12:00", "2026-10-25T00:30"),  # 02:30 is there twice
        (NIGHTLY, BERLIN, "2026-10-25T00:30", "2026-10-26T01:30"),
        (HOURLY, BERLIN, "2026-10-25T00:30", "2026-10-25T01:00"),
        (HOURLY, BERLIN, "2026-10-25T01:00", "2026-10-25T02:00"),
    ],
)
def test_next_time(cron: str, zone: str | None, after: str, expected: str) -> None:
    now = datetime.fromisoformat(after).replace(tzinfo=UTC)
    assert next_time(cron, zone, now) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 3 * *", "has 4 fields, not 5"),
        ("0 0 3 * * *", "has 6 fields, not 5"),
        ("61 * * * *", "the minute 61 is not readable, or out of range"),
        ("* * * * MON-XYZ", "the day-of-week MON-XYZ is not readable, or out of range"),
        ("*/0 * * * *", "the minute */0 is not readable, or out of range"),
        ("0 0 31 2 *", "the day-of-month 31 is not readable, or out of range"),
        ("0 0 L * *", "L, W and # are not of cron"),
        ("0 0 * * MON#1", "L, W and # are not of cron"),
    ],
)
def test_what_is_no_time(cron: str, problem: str) -> None:
    with pytest.raises(ValueError, match="^" + problem.replace("*", r"\*") + "$"):
        next_time(cron, None, datetime(2026, 1, 1, tzinfo=UTC))


@given(
    minute=st.integers(0, 20 * 366 * 1440),
    zone=st.sampled_from([None, BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_every_night_has_its_time(minute: int, zone: str | None) -> None:
    after = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    found = next_time(NIGHTLY, zone, after)
    assert after < found <= after + timedelta(hours=25)
    clock = found.astimezone(ZoneInfo(zone) if zone else UTC)
    assert (clock.hour, clock.minute) == (2, 30) or clock.hour == 3 or clock.minute in (0, 30)
