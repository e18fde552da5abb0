"""The queue of workflows to look at: each once however often it was asked for, never twice at a time."""

import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from llmworkflow.kube.cache import Key

BACKOFF_SECONDS, BACKOFF_LIMIT_SECONDS = 0.5, 120.0
WORK_LIMIT_SECONDS = 120.0
"""A look that takes longer waits for something that will not come."""
BEAT_SECONDS = 1.0


@dataclass
class Schedule:
    """Which keys are due, and when. Knows no clock: the time comes in."""

    _due: dict[Key, float] = field(default_factory=dict)
    _heap: list[tuple[float, Key]] = field(default_factory=list)  # also holds what is no longer true
    _running: set[Key] = field(default_factory=set)
    _failures: dict[Key, int] = field(default_factory=dict)

    def add(self, key: Key, at: float) -> None:
        """Have a key worked on at a time, or earlier if that was asked for."""
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            heapq.heappush(self._heap, (at, key))

    def take(self, now: float) -> Key | None:
        """A key that is due and not being worked on."""
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._due.get(key) == at and key not in self._running:
                del self._due[key]
                self._running.add(key)
                return key
        return None

    def done(self, key: Key, again_at: float | None) -> None:
        """A key was worked on; None: it is not to be seen again, unless somebody asks for it."""
        self._failures.pop(key, None)
        self._release(key, again_at)

    def failed(self, key: Key, now: float, jitter: float) -> float:
        """A key could not be worked on; returns after how many seconds it is tried again: longer each time.

        Whoever asks for it meanwhile ends the pause: what was wrong may be mended.
        """
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS * (1 << min(failures - 1, 20))) * jitter
        self._release(key, now + pause)
        return pause

    def next_due(self) -> float | None:
        """When the next key is due."""
        while self._heap:
            at, key = self._heap[0]
            if self._due.get(key) == at and key not in self._running:
                return at
            heapq.heappop(self._heap)
        return None

    def known(self) -> set[Key]:
        """All keys that are known."""
        return {*self._due, *self._running}

    def depth(self, now: float) -> int:
        """How many keys are due and wait."""
        return sum(at <= now and key not in self._running for key, at in self._due.items())

    def _release(self, key: Key, at: float | None) -> None:
        self._running.discard(key)
        if at is not None:
            self._due[key] = min(at, self._due.get(key, at))
        if (asked := self._due.get(key)) is not None:
            heapq.heappush(self._heap, (asked, key))


Work = Callable[[Key], Awaitable[float | None]]
"""Works on a key; returns after how many seconds it is to be looked at again, None for never."""


class WorkQueue:
    """Runs the schedule."""

    def __init__(
        self, work: Work, on_error: Callable[[Key, Exception, float], None], workers: int, resync: float
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._workers = workers
        self._resync = resync
        self._schedule = Schedule()
        self._wake = asyncio.Event()
        self._open = asyncio.Event()
        self._beat = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have a key looked at."""
        self._schedule.add(key, time.monotonic() + after)
        self._wake.set()

    def add_all(self) -> None:
        """Have every known key looked at."""
        for key in self._schedule.known():
            self.add(key)

    def open(self, is_open: bool) -> None:
        """Let work begin, or hold all of it back."""
        if is_open:
            self._open.set()
            self._wake.set()
        else:
            self._open.clear()

    @property
    def age(self) -> float:
        """Seconds since the queue was last seen to be alive."""
        return time.monotonic() - self._beat

    @property
    def depth(self) -> int:
        """How many keys wait for their turn."""
        return self._schedule.depth(time.monotonic())

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._beat = time.monotonic()
            self._wake.clear()
            self._start_due()
            due = self._schedule.next_due() if self._free() else None
            pause = BEAT_SECONDS if due is None else min(BEAT_SECONDS, max(0.0, due - time.monotonic()))
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _free(self) -> bool:
        return self._open.is_set() and len(self._tasks) < self._workers

    def _start_due(self) -> None:
        while self._free() and (key := self._schedule.take(time.monotonic())):
            task = asyncio.create_task(self._process(key), name=f"reconcile {'/'.join(key)}")
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _process(self, key: Key) -> None:
        try:
            async with asyncio.timeout(WORK_LIMIT_SECONDS):
                again = await self._work(key)
        except Exception as error:
            pause = self._schedule.failed(key, time.monotonic(), random.uniform(0.8, 1.2))
            self._on_error(key, error, pause)
            return
        if again is not None:
            again = min(again, self._resync * random.uniform(0.8, 1.2))
        self._schedule.done(key, None if again is None else time.monotonic() + again)
