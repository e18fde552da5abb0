"""Fine-tuning through the real driver, Ray Train, TRL and PEFT on a tiny model."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from llmworkflow_jobs.storage import text_digest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ROWS = [
    {"instruction": "What is the name?", "input": f"Game {n % 8}", "output": f"name[Game {n % 8}]"}
    for n in range(80)
]
VALIDATION = {"validation": [{"uri": "volume:val.jsonl", "format": None, "dataset": None}]}
# Long enough to be killed in the middle: 10 steps an epoch, a checkpoint each 10 steps.
LONG: dict[str, Any] = {"data": VALIDATION, "training": {"numTrainEpochs": 20, "evalSteps": 50}}
STEPS = 200
WAIT = 300  # seconds; a lone run takes a tenth of it, but tests may share the machine


def make_volume(folder: Path, model: Path) -> Path:
    (folder / "model").symlink_to(model)
    (folder / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    (folder / "val.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS[:8]))
    return folder


@pytest.fixture
def volume(tmp_path: Path, tiny_model: Path) -> Path:
    """The storage of one test, with a model and data on it."""
    return make_volume(tmp_path, tiny_model)


@dataclass(frozen=True)
class Finished:
    """A run that nothing disturbed."""

    config: dict[str, Any]
    report: dict[str, Any]
    folder: Path


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Path,
    stage_document: Callable[..., dict[str, Any]],
    start_shared_job: Any,
) -> Finished:
    volume = make_volume(tmp_path_factory.mktemp("volume"), tiny_model)
    config = stage_document("fineTune", volume.as_uri(), **LONG, export={"mirror": "volume:mirrors/viggo"})
    report = start_shared_job("fine_tune", config).wait(WAIT)
    assert report["state"] == "Succeeded", report["error"]
    return Finished(config, report, attempt_folder(volume))


def attempt_folder(volume: Path, attempt: int = 1) -> Path:
    return volume / "default" / "viggo" / "stage" / "0123456789ab" / str(attempt)


def value(report: dict[str, Any], metric: str) -> float:
    return report["metrics"][metric]["value"]


def wait_until(condition: Callable[[], bool], job: Any, what: str) -> None:
    """Wait for something that a running job does; fails when the job ends before, or after WAIT seconds."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert job.process.poll() is None, f"the job ended before {what}: {job.wait(1)}"
        assert time.monotonic() < deadline, f"no {what} within {WAIT} s"
        time.sleep(0.02)


@pytest.mark.capability("lora")
def test_adapter_is_published_with_its_lineage(finished: Finished) -> None:
    artifact, folder = finished.report["artifact"], finished.folder
    text = (folder / "manifest.json").read_text()
    manifest = json.loads(text)
    assert artifact == {"uri": folder.as_uri(), "digest": text_digest(text), "type": "adapter"}
    names = [file["path"] for file in manifest["files"]]
    files = ("adapter_config.json", "adapter_model.safetensors", "README.md")
    assert {*(f"adapter/{name}" for name in files), "training.jsonl"} <= set(names)
    assert not [name for name in names if name.startswith("checkpoints/")]
    assert {manifest["base"]["source"], *manifest["data"]} == set(finished.report["resolved"])
    assert manifest["data"]["volume:train.jsonl"] == finished.report["resolved"]["volume:train.jsonl"]
    assert manifest["eosTokenIds"] == [2]
    card = (folder / "adapter" / "README.md").read_text()
    assert f"| volume:train.jsonl | {manifest['data']['volume:train.jsonl']} |" in card
    adapter = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert (adapter["r"], adapter["base_model_name_or_path"]) == (8, "volume:model")


@pytest.mark.capability("mirrored")
def test_a_mirror_has_the_adapter_alone(finished: Finished) -> None:
    published = {path.name: path.read_bytes() for path in (finished.folder / "adapter").iterdir()}
    mirror = finished.folder.parents[4] / "mirrors" / "viggo"
    assert {path.name: path.read_bytes() for path in mirror.iterdir()} == published


@pytest.mark.capability("lora", "validation")
def test_loss_falls_and_its_curve_is_kept(finished: Finished) -> None:
    curve = [json.loads(line) for line in (finished.folder / "training.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in curve if "loss" in record]
    assert losses[-1] < 0.9 * losses[0]
    assert [record["step"] for record in curve if "eval_loss" in record] == [50, 100, 150, 200]
    report = finished.report
    assert value(report, "trainLoss") == losses[-1]
    assert value(report, "evalLoss") == curve[-1]["eval_loss"]
    assert (value(report, "steps"), value(report, "resumedFromStep")) == (STEPS, 0)
    assert (value(report, "trainRows"), value(report, "evalRows"), value(report, "truncatedRows")) == (
        80,
        8,
        0,
    )
    assert value(report, "samplesPerSecond") > 0


def test_newest_checkpoints_are_kept(finished: Finished) -> None:
    kept = sorted(path.name for path in (finished.folder / "checkpoints").glob("checkpoint-*"))
    assert kept == ["checkpoint-190", "checkpoint-200"]


def test_attempt_that_is_published_is_not_run_again(finished: Finished, start_job: Any) -> None:
    before = (finished.folder / "manifest.json").stat().st_mtime_ns
    report = start_job("fine_tune", finished.config).wait(WAIT)
    assert (finished.folder / "manifest.json").stat().st_mtime_ns == before
    for key in ("state", "artifact", "metrics", "resolved"):
        assert report[key] == finished.report[key]


@pytest.mark.capability("resume")
def test_killed_run_is_resumed_by_the_next_attempt(
    volume: Path, stage_config: Callable[..., Any], start_job: Any, finished: Finished
) -> None:
    first = start_job("fine_tune", stage_config("fineTune", **LONG))
    checkpoints = attempt_folder(volume) / "checkpoints"
    wait_until((checkpoints / "checkpoint-50" / "complete.json").exists, first, "step 50")
    first.process.kill()
    first.process.wait(60)
    assert first.report["state"] == "Running"
    assert first.report["progress"]["message"].startswith("step ")
    assert not (attempt_folder(volume) / "manifest.json").exists()

    second = start_job("fine_tune", stage_config("fineTune", stage={"attempt": 2}, **LONG)).wait(WAIT)
    assert second["state"] == "Succeeded", second["error"]
    assert second["artifact"]["uri"] == attempt_folder(volume, 2).as_uri()
    assert 50 <= value(second, "resumedFromStep") < STEPS
    assert value(second, "resumedFromStep") % 10 == 0
    assert value(second, "steps") == STEPS
    for metric in ("trainLoss", "evalLoss"):
        assert value(second, metric) == pytest.approx(value(finished.report, metric), rel=1e-3)
    curve = [
        json.loads(line) for line in (attempt_folder(volume, 2) / "training.jsonl").read_text().splitlines()
    ]
    assert [record["step"] for record in curve if "loss" in record] == list(range(5, STEPS + 1, 5))


def test_run_that_died_after_its_last_step_takes_no_further_one(
    tmp_path: Path, stage_config: Callable[..., Any], start_job: Any, finished: Finished
) -> None:
    shutil.copytree(finished.folder.parents[4], tmp_path, symlinks=True, dirs_exist_ok=True)
    (attempt_folder(tmp_path) / "manifest.json").unlink()
    report = start_job("fine_tune", stage_config("fineTune", **LONG)).wait(WAIT)
    assert report["state"] == "Succeeded", report["error"]
    assert (value(report, "steps"), value(report, "resumedFromStep")) == (STEPS, STEPS)
    assert value(report, "evalLoss") == pytest.approx(value(finished.report, "evalLoss"), rel=1e-5)
    weights = "adapter/adapter_model.safetensors"
    assert (attempt_folder(tmp_path) / weights).read_bytes() == (finished.folder / weights).read_bytes()


@pytest.mark.capability("workers")
def test_lost_worker_of_two_is_replaced(
    volume: Path, stage_config: Callable[..., Any], start_job: Any
) -> None:
    config = stage_config(
        "fineTune", workers={"count": 2}, training={"numTrainEpochs": 20, "perDeviceTrainBatchSize": 4}
    )
    job = start_job("fine_tune", config)
    checkpoints = attempt_folder(volume) / "checkpoints"
    wait_until((checkpoints / "checkpoint-50" / "complete.json").exists, job, "step 50")
    workers = [
        child for child in psutil.Process().children(recursive=True) if "RayTrainWorker" in child.name()
    ]
    assert len(workers) == 2
    workers[1].kill()
    report = job.wait(WAIT)
    assert report["state"] == "Succeeded", report["error"]
    assert value(report, "steps") == STEPS
    assert value(report, "resumedFromStep") >= 50


def test_bad_data_is_named_at_once(volume: Path, stage_config: Callable[..., Any], start_job: Any) -> None:
    (volume / "train.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"instruction"')
    job = start_job("fine_tune", stage_config("fineTune"))
    report = job.wait(WAIT)
    assert job.process.returncode == 1
    assert (report["state"], report["error"]["reason"], report["error"]["retryable"]) == (
        "Failed",
        "DataInvalid",
        False,
    )
    assert "train.jsonl, line 2, column 15: not JSON" in report["error"]["message"]
