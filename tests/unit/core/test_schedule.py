"""Runs at set times: when one begins, when a time is let pass, and what serves meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow.api.names import Reason, Verb
from llmworkflow.api.spec.workflow import Schedule
from llmworkflow.api.status import ScheduleStatus
from llmworkflow.core.clock import moment, stamp
from llmworkflow.core.schedule import turn

from .builders import START, workflow
from .simulator import SimulatedCluster

NIGHTLY = ("schedule", {"cron": "0 3 * * *"})
HOUR, DAY = 3600, 86400


def serving(*edits: tuple[str, object]) -> SimulatedCluster:
    """A workflow that began at midnight, serves, and runs again at three."""
    return SimulatedCluster(workflow(NIGHTLY, *edits)).until_serving()


def clock(cluster: SimulatedCluster) -> ScheduleStatus:
    assert cluster.status.schedule
    return cluster.status.schedule


@pytest.mark.capability("schedule")
def test_the_first_run_is_the_specs_and_the_next_one_the_schedules() -> None:
    cluster = serving()
    assert clock(cluster).next_run == "2026-01-01T03:00:00Z"
    assert clock(cluster).last_run is None
    assert cluster.plan().requeue_after == 3 * HOUR
    cluster.wait(3 * HOUR - 1)
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Serving"}
    cluster.wait(1)
    cluster.settle()
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Serving"}
    assert (clock(cluster).last_run, clock(cluster).next_run) == (
        "2026-01-01T03:00:00Z",
        "2026-01-02T03:00:00Z",
    )


def test_what_a_scheduled_run_makes_takes_the_place_of_what_serves() -> None:
    cluster = serving()
    before = cluster.status.serving
    cluster.wait(3 * HOUR)
    cluster.settle()
    assert cluster.stage("tune").attempt == 2
    assert {item.type: item.status for item in cluster.status.conditions}["Available"] == "True"
    for stage in ("tune", "score"):
        cluster.complete(stage)
    cluster.verify()
    cluster.settle()
    after = cluster.status.serving
    assert before
    assert after
    assert after.digest != before.digest
    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Serving"}


@pytest.mark.capability("schedule")
def test_a_scheduled_run_whose_gate_fails_leaves_what_serves() -> None:
    cluster = serving()
    before = cluster.status.serving
    cluster.wait(3 * HOUR)
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", {"exactMatch": {"value": 0.1, "n": 200, "errors": 0}})
    assert cluster.states() == {"tune": "Succeeded", "score": "Failed", "chat": "Serving"}
    assert cluster.status.serving == before
    cluster.wait(DAY)
    cluster.settle()
    assert cluster.states()["tune"] == "Starting", "the next night tries again"


def test_what_failed_runs_again() -> None:
    cluster = SimulatedCluster(workflow(NIGHTLY, ("stages.0.retries", 0)))
    cluster.settle()
    cluster.run("tune")
    cluster.fail("tune", retryable=False)
    cluster.settle()
    assert cluster.states()["tune"] == "Failed"
    cluster.wait(3 * HOUR)
    cluster.settle()
    assert cluster.states()["tune"] == "Starting"
    assert cluster.stage("tune").failures == 0


@pytest.mark.capability("schedule")
def test_a_time_during_a_run_is_skipped_and_said() -> None:
    cluster = SimulatedCluster(workflow(NIGHTLY))
    cluster.settle()
    cluster.run("tune")
    cluster.settle()
    cluster.wait(3 * HOUR)
    cluster.settle()
    assert cluster.states()["tune"] == "Running"
    assert cluster.stage("tune").attempt == 1
    found = clock(cluster)
    assert (found.skipped, found.message) == ("2026-01-01T03:00:00Z", "tune was Running")
    assert (found.last_run, found.next_run) == (None, "2026-01-02T03:00:00Z")


def test_a_decision_that_is_awaited_is_not_taken_away() -> None:
    cluster = SimulatedCluster(workflow(NIGHTLY, ("stages.1.approval", {"required": True})))
    cluster.settle()
    for stage in ("tune", "score"):
        cluster.complete(stage)
    cluster.wait(3 * HOUR)
    cluster.settle()
    assert cluster.states()["score"] == "AwaitingApproval"
    assert clock(cluster).message == "score was AwaitingApproval"


def test_times_that_passed_while_suspended_are_made_up_for_once() -> None:
    cluster = serving()
    cluster.edit(("suspend", True))
    cluster.settle()
    assert cluster.plan().requeue_after is None
    cluster.wait(5 * DAY)
    cluster.settle()
    assert clock(cluster).last_run is None
    cluster.edit(("suspend", False))
    cluster.settle()
    assert clock(cluster).last_run == stamp(cluster.now)
    assert clock(cluster).next_run == "2026-01-06T03:00:00Z"
    assert cluster.stage("tune").attempt == 2


def test_times_that_passed_while_nothing_looked_are_made_up_for_once() -> None:
    cluster = serving()
    cluster.wait(5 * DAY)
    cluster.settle()
    for stage in ("tune", "score"):
        cluster.complete(stage)
    assert cluster.stage("tune").attempt == 2
    assert clock(cluster).next_run == "2026-01-06T03:00:00Z"


@pytest.mark.parametrize(
    ("schedule", "next_run"),
    [
        ({"cron": "0 4 * * *"}, "2026-01-06T04:00:00Z"),
        ({"cron": "0 3 * * *", "timeZone": "Asia/Tokyo"}, "2026-01-06T18:00:00Z"),
    ],
)
def test_other_times_begin_anew(schedule: dict[str, str], next_run: str) -> None:
    cluster = serving()
    cluster.wait(5 * DAY)
    cluster.edit(("schedule", schedule))
    cluster.settle()
    assert clock(cluster).next_run == next_run
    assert cluster.stage("tune").attempt == 1, "neither the old times are made up for nor the new ones"


def test_without_a_schedule_none_is_told_of() -> None:
    cluster = serving()
    cluster.edit(("schedule", None))
    cluster.wait(DAY)
    planned = cluster.settle()
    assert cluster.status.schedule is None
    assert planned.requeue_after is None


def test_a_scheduled_run_keeps_a_rollback() -> None:
    cluster = serving()
    first = cluster.status.serving
    cluster.edit(("stages.0.fineTune.training", {"seed": 1}))
    cluster.settle()
    for stage in ("tune", "score"):
        cluster.complete(stage)
    cluster.verify()
    cluster.settle()
    assert first
    cluster.ask(Verb.ROLLBACK, f"chat@{first.revision}#1")
    cluster.settle()
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving
    assert cluster.status.serving.pinned
    cluster.wait(3 * HOUR)
    cluster.settle()
    for stage in ("tune", "score"):
        cluster.complete(stage)
    cluster.settle()
    assert cluster.states()["chat"] == "Serving"
    assert cluster.status.serving.digest == first.digest


def test_a_scheduled_run_leaves_alone_what_was_cancelled() -> None:
    cluster = serving()
    cluster.ask(Verb.CANCEL, "chat#1")
    cluster.settle()
    assert cluster.states()["chat"] == "Cancelled"
    cluster.wait(3 * HOUR)
    cluster.settle()
    assert cluster.states()["tune"] == "Starting"
    for stage in ("tune", "score"):
        cluster.complete(stage)
    assert cluster.states()["chat"] == "Cancelled"


def test_a_clock_that_was_put_back_postpones_no_run() -> None:
    cluster = serving()
    assert cluster.status.schedule
    coming = cluster.status.schedule.next_run
    cluster.wait(60 * 24 * HOUR)
    cluster.settle()
    cluster.wait(-60 * 24 * HOUR)
    cluster.settle()
    assert cluster.status.schedule.next_run == coming


def test_the_event_says_why() -> None:
    cluster = serving()
    cluster.wait(3 * HOUR)
    steps = cluster.plan().transitions
    assert {(step.stage, step.reason) for step in steps} >= {("tune", Reason.SCHEDULED)}
    assert "0 3 * * * UTC" in next(step.message for step in steps if step.reason == Reason.SCHEDULED)


LOOKS = st.lists(
    st.tuples(st.integers(1, 3 * 1440), st.booleans(), st.sampled_from(["", "tune was Running"])), max_size=40
)


@given(looks=LOOKS)
def test_no_time_begins_two_runs_and_none_is_forgotten(looks: list[tuple[int, bool, str]]) -> None:
    nightly = Schedule(cron="0 3 * * *")
    now, status, runs = START, turn(nightly, None, START, False, "").status, list[datetime]()
    for minutes, suspended, busy in looks:
        now += timedelta(minutes=minutes)
        assert status
        due = moment(status.next_run) <= now
        found = turn(nightly, status, now, suspended, busy)
        assert found.due == (due and not suspended and not busy)
        assert found.status
        assert (moment(found.status.next_run) > now) == (not due or not suspended)
        assert turn(nightly, found.status, now, suspended, busy).status == found.status, (
            "a second look changes nothing"
        )
        runs += [now] if found.due else []
        status = found.status
    nights = (now.date() - START.date()).days + 1
    assert len(runs) <= nights
    assert len({(run - timedelta(hours=3)).astimezone(UTC).date() for run in runs}) == len(runs)
