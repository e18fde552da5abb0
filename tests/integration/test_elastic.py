"""Training in two workers, and in as many as there is room for: the result is that of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import checkpoints, elastic, trainer, training_workers
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.training_data import TrainingRows

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # transformers' and TRL's own, of each other
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ROWS = [
    {"instruction": "What is the name?", "input": f"Game {n % 8}", "output": f"name[Game {n % 8}]"}
    for n in range(83)  # no multiple of the batch
]
TRAINING = {
    "perDeviceTrainBatchSize": 2,
    "globalBatchSize": 8,
    "numTrainEpochs": 8,
    "learningRate": 1e-3,
    "loggingSteps": 1,
}
STEPS_OF_AN_EPOCH = 11
STEPS = 8 * STEPS_OF_AN_EPOCH
CPUS = 8  # of the session's Ray


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, stage_config: Callable[..., Any]) -> Callable[..., JobConfig]:
    (tmp_path / "model").symlink_to(tiny_model)
    return lambda revision, **changes: parse(
        stage_config("fineTune", stage={"revision": revision}, training=TRAINING, **changes)
    )


def losses(config: JobConfig) -> list[float]:
    """The losses of all steps of a run."""
    curve = Path(config.output_uri.removeprefix("file://")) / trainer.training_result.CURVE
    records = [json.loads(line) for line in curve.read_text().splitlines()]
    assert [record["step"] for record in records] == list(range(1, STEPS + 1))
    return [record["loss"] for record in records]


@pytest.mark.capability("elastic")
@pytest.mark.usefixtures("ray_session")
def test_run_that_gains_a_worker_sees_the_same_batches(
    config: Callable[..., JobConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import (
        ResourceRequestPriority,
        get_or_create_autoscaling_coordinator,
    )

    alone = config("alone")
    assert trainer.train(alone, TrainingRows(ROWS, []), lambda _: None)["metrics"]["steps"] == STEPS

    # Another job holds half of the CPUs at first, so that there is room for one worker of 4.
    coordinator = get_or_create_autoscaling_coordinator()
    held = coordinator.request_resources.remote(
        requester_id="another-job", resources=[{"CPU": CPUS // 2}], label_selectors=[{}], expire_after_s=600,
        priority=ResourceRequestPriority.HIGH,
    )  # fmt: skip
    ray.get(held, timeout=30)
    monkeypatch.setattr(elastic, "MONITOR_SECONDS", 0.5)
    growing = config("growing", workers={"min": 1, "max": 3, "cpu": CPUS // 2})

    def follow(latest: dict[str, Any]) -> None:
        if latest["step"] >= 10:
            coordinator = get_or_create_autoscaling_coordinator()
            ray.get(coordinator.cancel_request.remote(requester_id="another-job"), timeout=30)

    result = training_workers.train(growing, TrainingRows(ROWS, []), follow)
    assert result["metrics"]["steps"] == STEPS
    # It was one worker until it was two: their random states lie in the checkpoints.
    resumed = int(result["metrics"]["resumedFromStep"])
    assert 0 < resumed < STEPS
    newest = checkpoints.newest(growing)
    assert newest is not None
    assert len(list(Path(checkpoints.fetch(newest, growing)).glob("rng_state_*.pth"))) == 2
    for step, (found, expected) in enumerate(zip(losses(growing), losses(alone), strict=True), start=1):
        # The last batch of an epoch is short: two workers fill it up with rows of the first, so that each has as many.
        tolerance = 1e-2 if step % STEPS_OF_AN_EPOCH == 0 else 1e-3
        assert found == pytest.approx(expected, rel=tolerance), f"step {step}"
