"""A batch that asks the endpoint judges what that serves: it waits for it, and asks again what was brought in since."""

from __future__ import annotations

import copy

import pytest

from llmworkflow.api.names import Verb

from .builders import SPEC, workflow
from .endpoints import RATE
from .simulator import SimulatedCluster

PROBE = {
    "name": "probe",
    "batch": {
        "task": "serve",
        "through": {"stage": "chat"},
        "input": {"uri": "volume:probe.jsonl"},
        "evaluate": {"metrics": ["exactMatch"]},
    },
    "gates": [{"metric": "exactMatch", "min": 0.5}],
}


@pytest.fixture
def probed() -> SimulatedCluster:
    """An endpoint that serves, and was asked."""
    spec = copy.deepcopy(SPEC)
    spec["stages"].append(copy.deepcopy(PROBE))
    cluster = SimulatedCluster(workflow(spec=spec)).until_serving()
    cluster.complete("probe")
    assert cluster.states()["probe"] == "Succeeded"
    return cluster


def serves_and_is_asked(cluster: SimulatedCluster) -> tuple[int, int]:
    """The attempt whose adapter is served, and the one of the batch that asked it."""
    cluster.verify()
    cluster.settle()
    assert cluster.states()["probe"] == "Starting"
    cluster.complete("probe")
    assert set(cluster.states().values()) == {"Succeeded", "Serving"}
    assert cluster.status.serving is not None
    return cluster.status.serving.inputs["tune"].attempt, cluster.stage("probe").attempt


def test_it_asks_what_a_retry_makes(probed: SimulatedCluster) -> None:
    probed.ask(Verb.RETRY, "tune#1")
    probed.settle()
    assert probed.states()["probe"] == "Waiting", "what is to be asked is not there yet"
    probed.complete("tune")
    probed.complete("score")
    assert probed.states()["probe"] == "Waiting"
    assert serves_and_is_asked(probed) == (2, 2)


def test_it_asks_what_was_made_anew(probed: SimulatedCluster) -> None:
    probed.edit(("stages.1.batch.sampling.maxTokens", 7))
    probed.settle()
    probed.miss("score", "tune")
    probed.settle()
    probed.wait(600)
    probed.settle()
    probed.complete("tune")
    probed.complete("score")
    assert serves_and_is_asked(probed) == (2, 2)


def test_it_asks_the_successor(probed: SimulatedCluster) -> None:
    probed.edit((RATE, 1e-3))
    probed.settle()
    probed.complete("tune")
    probed.complete("score")
    assert probed.states()["probe"] == "Waiting"
    assert serves_and_is_asked(probed) == (1, 1)
