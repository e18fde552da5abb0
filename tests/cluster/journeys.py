"""Journeys of workflows that go on at the same time, each through transitions of the table of states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llmworkflow.api.status import StageState

from .conftest import Cluster
from .operator_process import at_work
from .scene import Scene, Step

AT_ONCE = 14  # more, and KubeRay waits for two cores for longer than it waits for a dashboard

Drive = Callable[[Scene], Iterator[None] | None]
"""Drives a workflow. It may yield twice: the operator is away between the first time and the second."""


@dataclass(frozen=True)
class Journey:
    """A drive, and the transitions that it shows."""

    name: str
    drive: Drive
    shows: Sequence[Step]


@dataclass
class Played:
    """A journey under way, and how it went."""

    journey: Journey
    scene: Scene
    error: BaseException | None = None
    seen: set[Step] = field(default_factory=set)
    under_way: bool = False
    _acts: Iterator[None] | None = None

    def go_on(self) -> None:
        """Play the next act: all of it, where there is only one."""
        if self._acts is None:
            self._acts = self.journey.drive(self.scene) or iter(())
        self.under_way = next(self._acts, "ended") != "ended"

    def close(self) -> None:
        """Remember what was seen, and leave nothing."""
        self.seen = self.scene.seen()
        self.scene.end()


def shows(journeys: list[Journey], *steps: tuple[StageState, StageState]) -> Callable[[Drive], Drive]:
    """Add a drive to the journeys, with the transitions that it shows."""

    def add(drive: Drive) -> Drive:
        journeys.append(Journey(drive.__name__, drive, steps))
        return drive

    return add


def selected(request: pytest.FixtureRequest, journeys: Sequence[Journey]) -> Sequence[Journey]:
    """The journeys that the tests of a file ask for which are run: by `name`, or by a `step` that they show."""
    tests = (item for item in request.session.items if item.path == request.path)
    asked = [test.callspec.params for test in tests if isinstance(test, pytest.Function)]
    return [
        journey
        for journey in journeys
        if any(test.get("name") == journey.name or test.get("step") in journey.shows for test in asked)
    ]


def play(cluster: Cluster, folder: Path, journeys: Sequence[Journey]) -> Mapping[str, Played]:
    """Play all journeys at once, with one operator; it is killed and started again between their acts."""
    with at_work(cluster, folder) as operator, ThreadPoolExecutor(AT_ONCE) as pool:
        played = [Played(journey, Scene(cluster)) for journey in journeys]
        _play_act(pool, played)
        if any(one.under_way for one in played):
            operator.kill()
            _play_act(pool, played)
            operator.start_up()
            _play_act(pool, played)
        for one in played:
            one.close()
    return {one.journey.name: one for one in played}


def _play_act(pool: ThreadPoolExecutor, played: Sequence[Played]) -> None:
    acts = [(one, pool.submit(one.go_on)) for one in played if one.error is None]
    for one, act in acts:
        one.error = act.exception()
