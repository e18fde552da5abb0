"""What a stage made is gone when another one reads it: it is made again, and nothing else is."""

from __future__ import annotations

import copy
from typing import Any

from .builders import SPEC, workflow
from .simulator import SimulatedCluster


def started(*edits: tuple[str, Any]) -> SimulatedCluster:
    cluster = SimulatedCluster(workflow(*edits))
    cluster.settle()
    return cluster


def test_a_missing_artifact_is_made_again_before_its_reader_runs_again() -> None:
    cluster = started()
    cluster.complete("tune")
    cluster.run("score")
    cluster.fail("score", "ArtifactMissing", retryable=False)
    cluster.settle()
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Waiting"}
    assert (cluster.stage("tune").attempt, cluster.stage("tune").failures) == (2, 0)
    cluster.wait(600)
    cluster.settle()
    assert cluster.states()["score"] == "Waiting", "its input comes first"
    cluster.complete("tune")
    assert (cluster.states()["score"], cluster.stage("score").attempt) == ("Starting", 2)
    cluster.complete("score")
    assert cluster.states()["score"] == "Succeeded"


def test_an_artifact_that_is_missing_again_and_again_ends() -> None:
    cluster = started(("stages.1.retries", 1))
    for _ in range(2):
        cluster.complete("tune")
        cluster.fail("score", "ArtifactMissing", retryable=False)
        cluster.settle()
        cluster.wait(600)
        cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Failed", "chat": "Waiting"}
    assert cluster.stage("score").reason == "ArtifactMissing"


def test_a_file_of_its_own_that_is_gone_is_no_reason_for_another_attempt() -> None:
    cluster = started()
    cluster.run("tune")
    cluster.fail("tune", "ArtifactMissing", "file:///artifacts/tune: checkpoint-8 is gone", retryable=False)
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").attempt) == ("Failed", 1)


# several inputs


def two_adapters() -> SimulatedCluster:
    """A batch whose rows are answered by two adapters."""
    spec = copy.deepcopy(SPEC)
    tune, batch, _ = spec["stages"]
    batch["batch"] |= {
        "adapters": [{"name": name, "stage": name} for name in ("tune", "other")],
        "adapterColumn": "adapter",
    }
    del batch["batch"]["model"]
    spec["stages"] = [tune, {**tune, "name": "other"}, batch]
    cluster = SimulatedCluster(workflow(spec=spec))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("other")
    return cluster


def test_only_what_is_missing_is_made_again() -> None:
    cluster = two_adapters()
    cluster.miss("score", "other")
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "other": "Starting", "score": "Waiting"}


def test_all_inputs_are_made_again_where_none_is_named() -> None:
    cluster = two_adapters()
    cluster.fail("score", "ArtifactMissing", "stage other has left no artifact: it has to run again")
    cluster.settle()
    assert (cluster.stage("tune").attempt, cluster.stage("other").attempt) == (2, 1)
    cluster.complete("tune")
    assert cluster.stage("other").attempt == 2
