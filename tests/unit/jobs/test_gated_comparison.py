"""A comparison from end to end: what the planner tells the job, what the job reports, what the gate says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs
from tests.unit.core.builders import BETTER, workflow
from tests.unit.core.simulator import SimulatedCluster

from llmworkflow.render.stage_config import stage_config
from llmworkflow_jobs import rows, storage
from llmworkflow_jobs.comparison import needs_base
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.scoring import score

from .test_comparison import TERMS, answered, plan_of


class Trial:
    """A workflow whose batches answer as many rows right as a test says, scored and compared by the job's own code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.cluster = SimulatedCluster(workflow(("stages.1.gates", [BETTER])))
        self.cluster.settle()

    def judge(self, right: int, terms: dict[str, str] = TERMS) -> tuple[str, str]:
        """Tune, score and judge the next candidate; returns state and reason of its batch."""
        self.cluster.complete("tune")
        self.cluster.run("score")
        self.cluster.settle()
        job = self._job()
        results = answered(right)
        base = answered(5) if needs_base(job) else []
        metrics = score(plan_of(job), results, base, terms, job)
        rows.write(
            results, "parquet", fs.LocalFileSystem(), storage.local_path(f"{job.output_uri}/rows", job)
        )
        artifact = storage.publish(job, "rows", ["rows"], {"evaluation": terms})
        self.cluster.succeed("score", metrics, artifact=artifact)
        self.cluster.settle()
        stage = self.cluster.stage("score")
        return stage.state, stage.reason

    def serve(self) -> None:
        self.cluster.run("chat")
        self.cluster.settle()
        self.cluster.verify()
        self.cluster.settle()

    def tune_again(self, rate: float) -> None:
        self.cluster.edit(("stages.0.fineTune.training.learningRate", rate))
        self.cluster.settle()

    def _job(self) -> JobConfig:
        work = self.cluster.works[self.cluster.child("score").name]
        return parse(stage_config(self.cluster.workflow, work, self._folder.as_uri()))


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """What is served answers 20 of 40 rows right, and was better than the base model with its 5."""
    trial = Trial(tmp_path)
    assert trial.judge(20) == ("Succeeded", "Completed")
    trial.serve()
    trial.tune_again(1e-3)
    return trial


@pytest.mark.capability("gates")
def test_the_first_candidate_has_to_beat_the_base_model(tmp_path: Path) -> None:
    assert Trial(tmp_path).judge(5) == ("Failed", "GateNotMet")


@pytest.mark.capability("gates")
@pytest.mark.parametrize(
    ("right", "verdict"),
    [
        (10, ("Failed", "GateNotMet")),
        (20, ("Failed", "GateNotMet")),  # an equal one
        (23, ("Failed", "GateNotMet")),  # one that may be better by chance
        (30, ("Succeeded", "Completed")),
    ],
)
def test_a_successor_has_to_beat_what_serves(trial: Trial, right: int, verdict: tuple[str, str]) -> None:
    assert trial.judge(right) == verdict
    assert trial.cluster.stage("chat").serving is not None
    assert trial.cluster.states()["chat"] == ("Serving" if verdict[0] == "Failed" else "Upgrading")


def test_one_that_is_told_of_the_served_ones_rows_is_compared_with_them_alone(trial: Trial) -> None:
    trial.judge(30)
    comparisons = trial.cluster.stage("score").metrics["exactMatch"].comparisons
    assert {name: found.difference for name, found in comparisons.items()} == {"serving": 0.25}


def test_one_that_was_measured_otherwise_is_not_compared(trial: Trial) -> None:
    other: dict[str, Any] = TERMS | {"sampling": "sha256:00"}
    assert trial.judge(40, other) == ("Failed", "Incomparable")
    assert "was measured with other sampling" in trial.cluster.stage("score").message
