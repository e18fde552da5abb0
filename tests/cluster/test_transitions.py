"""Every transition of the table of states, brought about on a cluster and seen through its API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from llmworkflow.core.states import TRANSITIONS

from . import job_journeys, promotion_journeys, service_journeys
from .conftest import Cluster
from .journeys import Played, play, selected
from .scene import Step

JOURNEYS = (*job_journeys.JOURNEYS, *service_journeys.JOURNEYS, *promotion_journeys.JOURNEYS)

pytestmark = pytest.mark.timeout(900)  # the first of the tests plays the journeys of all


@pytest.fixture(scope="module")
def played(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Mapping[str, Played]:
    """All that are asked for, at the same time."""
    return play(cluster, tmp_path_factory.mktemp("operator"), selected(request, JOURNEYS))


def named(step: Step) -> str:
    return "-".join(step)


def showing(step: Step) -> Sequence[str]:
    """The journeys that show a transition."""
    return [journey.name for journey in JOURNEYS if step in journey.shows]


@pytest.mark.parametrize("step", TRANSITIONS, ids=named)
def test_transition_is_seen(played: Mapping[str, Played], step: Step) -> None:
    assert showing(step), f"no journey shows {named(step)}, {TRANSITIONS[step]}: write one"
    for name in showing(step):
        assert step in played[name].seen, f"journey {name} does not show it: {played[name].error}"


@pytest.mark.parametrize("name", [journey.name for journey in JOURNEYS])
def test_journey_comes_to_its_end(played: Mapping[str, Played], name: str) -> None:
    if error := played[name].error:
        raise error
    assert played[name].seen <= TRANSITIONS.keys()
