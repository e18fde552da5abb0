"""The queue: each key once, never twice at a time, again when asked for, later each time after a failure."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmworkflow.kube.cache import Key
from llmworkflow.kube.queue import BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS, Schedule, WorkQueue

A, B = ("team", "a"), ("team", "b")
KEYS = st.sampled_from([A, B, ("other", "a")])
SECONDS = st.integers(0, 20).map(float)


def test_key_is_taken_once_however_often_it_was_asked_for() -> None:
    schedule = Schedule()
    for at in (3.0, 1.0, 2.0):
        schedule.add(A, at)
    assert schedule.take(0.5) is None
    assert schedule.take(1.0) == A
    assert schedule.take(9.0) is None


def test_key_that_is_worked_on_waits_for_its_end() -> None:
    schedule = Schedule()
    schedule.add(A, 0.0)
    assert schedule.take(0.0) == A
    schedule.add(A, 0.0)
    assert schedule.take(1.0) is None
    schedule.done(A, None)
    assert schedule.take(1.0) == A


def test_failures_pause_longer_each_time_until_a_success() -> None:
    schedule = Schedule()
    pauses = []
    for _ in range(12):
        schedule.add(A, 0.0)
        assert schedule.take(1e9) == A
        pauses.append(schedule.failed(A, 0.0, 1.0))
    assert pauses[:3] == [BACKOFF_SECONDS, 2 * BACKOFF_SECONDS, 4 * BACKOFF_SECONDS]
    assert pauses[-1] == BACKOFF_LIMIT_SECONDS
    assert schedule.take(1e9) == A
    schedule.done(A, 5.0)
    assert schedule.take(5.0) == A
    assert schedule.failed(A, 5.0, 1.0) == BACKOFF_SECONDS


def test_event_ends_a_pause() -> None:
    schedule = Schedule()
    schedule.add(A, 0.0)
    schedule.take(0.0)
    schedule.failed(A, 0.0, 1.0)
    schedule.add(A, 0.1)
    assert schedule.take(0.1) == A


def test_key_that_is_gone_is_forgotten() -> None:
    schedule = Schedule()
    schedule.add(A, 0.0)
    schedule.take(0.0)
    schedule.done(A, None)
    assert schedule.known() == set()
    assert schedule.next_due() is None


class Scheduling(RuleBasedStateMachine):
    """The schedule against the plainest model of one: a due time for each key."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule, self.now = Schedule(), 0.0
        self.due: dict[Key, float] = {}
        self.running: set[Key] = set()

    @rule(key=KEYS, after=SECONDS)
    def add(self, key: Key, after: float) -> None:
        self.schedule.add(key, self.now + after)
        self.due[key] = min(self.now + after, self.due.get(key, float("inf")))

    @rule(seconds=SECONDS)
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        ready = {key for key, at in self.due.items() if at <= self.now and key not in self.running}
        taken = self.schedule.take(self.now)
        assert (taken in ready) if ready else taken is None
        if taken:
            del self.due[taken]
            self.running.add(taken)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), again=st.none() | SECONDS)
    def done(self, data: st.DataObject, again: float | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        at = None if again is None else self.now + again
        self.schedule.done(key, at)
        self.running.discard(key)
        if at is not None:
            self.due[key] = min(at, self.due.get(key, at))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        at = self.now + self.schedule.failed(key, self.now, 1.0)
        self.running.discard(key)
        self.due[key] = min(at, self.due.get(key, at))

    @invariant()
    def agrees(self) -> None:
        waiting = [at for key, at in self.due.items() if key not in self.running]
        assert self.schedule.next_due() == min(waiting, default=None)
        assert self.schedule.depth(self.now) == sum(at <= self.now for at in waiting)
        assert self.schedule.known() == {*self.due, *self.running}


TestScheduling = Scheduling.TestCase
TestScheduling.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.fixture
def seen() -> list[str]:
    return []


async def run_until(queue: WorkQueue, done: asyncio.Event) -> None:
    task = asyncio.create_task(queue.run())
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()


async def test_nothing_is_done_before_the_queue_is_open(seen: list[str]) -> None:
    done = asyncio.Event()

    async def work(key: Key) -> None:
        seen.append(key[1])
        done.set()

    queue = WorkQueue(work, lambda *_: None, workers=2, resync=60)
    queue.add(A)
    task = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    assert seen == []
    assert queue.depth == 1
    queue.open(True)
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    assert seen == ["a"]


async def test_no_more_are_worked_on_than_there_are_workers() -> None:
    running, most, left, done = 0, 0, 20, asyncio.Event()

    async def work(_: Key) -> None:
        nonlocal running, most, left
        running, left = running + 1, left - 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if not left:
            done.set()

    queue = WorkQueue(work, lambda *_: None, workers=3, resync=60)
    queue.open(True)
    for index in range(20):
        queue.add(("team", str(index)))
    await run_until(queue, done)
    assert most == 3


async def test_error_is_told_and_tried_again() -> None:
    told: list[str] = []
    done = asyncio.Event()

    async def work(_: Key) -> None:
        if told:
            done.set()
            return
        raise ValueError("boom")

    queue = WorkQueue(work, lambda key, error, _: told.append(f"{key[1]}: {error}"), workers=1, resync=60)
    queue.open(True)
    queue.add(A)
    await run_until(queue, done)
    assert told == ["a: boom"]


async def test_what_succeeded_is_looked_at_again_after_the_resync() -> None:
    looks, done = 0, asyncio.Event()

    async def work(_: Key) -> float:
        nonlocal looks
        looks += 1
        if looks == 3:
            done.set()
        return float("inf")

    queue = WorkQueue(work, lambda *_: None, workers=1, resync=0.01)
    queue.open(True)
    queue.add(A)
    await run_until(queue, done)
    assert queue.age < 2
