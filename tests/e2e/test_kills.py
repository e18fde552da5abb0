"""What is killed goes on: the command, Ray and its workers, at any time."""

import json
import math
import signal
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from .harness import Command, Workflow, stage_of, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SAVE_STEPS = 10


@pytest.fixture
def training_only(demo_workflow: Workflow, request: pytest.FixtureRequest) -> Workflow:
    """A workflow that only trains, long enough to be killed in the middle, under the test's own name."""
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = request.node.originalname.replace("_", "-")[5:40].rstrip("-")
    tune = stage_of(workflow, "tune")
    tune["fineTune"]["training"] |= {"numTrainEpochs": 4, "saveSteps": SAVE_STEPS, "loggingSteps": 2}
    workflow["spec"]["stages"] = [tune]
    return workflow


def steps_of(command: Command, name: str) -> int:
    """Steps that the running attempt has reported."""
    progress = command.stages(name).get("tune", {}).get("progress") or {}
    word = (progress.get("message") or "").removeprefix("step ").split("/")[0]
    return int(word) if word.isdigit() else 0


def folder_of(stage: dict[str, Any]) -> Path:
    """The folder of what a stage made."""
    return Path(stage["artifact"]["uri"].removeprefix("file://"))


def manifest(stage: dict[str, Any]) -> dict[str, Any]:
    """The manifest of what a stage made."""
    content: dict[str, Any] = json.loads((folder_of(stage) / "manifest.json").read_text())
    return content


@pytest.mark.capability("resume", "local")
def test_a_killed_command_resumes(command: Command, training_only: Workflow) -> None:
    name = training_only["metadata"]["name"]
    process = command.start("run", command.write(training_only), "--local")
    wait_until(lambda: steps_of(command, name) > 3 * SAVE_STEPS, 240, "the third checkpoint")
    process.kill()
    process.wait(30)
    wait_until(lambda: not command.processes(name), 60, "Ray ended after the command was killed")

    assert command.run(training_only).returncode == 0

    tune = command.stages(name)["tune"]
    assert tune["attempt"] == 2
    assert tune["metrics"]["resumedFromStep"]["value"] >= 2 * SAVE_STEPS
    assert tune["metrics"]["steps"]["value"] == 4 * math.ceil(1000 / 32)
    assert command.processes(name) == []


@pytest.mark.capability("local")
def test_ctrl_c_costs_no_attempt(command: Command, training_only: Workflow) -> None:
    name = training_only["metadata"]["name"]
    process = command.start("run", command.write(training_only), "--local")
    wait_until(lambda: steps_of(command, name) > 2 * SAVE_STEPS, 240, "the second checkpoint")
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    assert command.processes(name) == []
    assert command.stages(name)["tune"]["state"] == "Queued"

    assert command.run(training_only).returncode == 0

    tune = command.stages(name)["tune"]
    assert tune["attempt"] == 1
    assert tune["metrics"]["resumedFromStep"]["value"] >= SAVE_STEPS


@pytest.mark.capability("lost-heads", "local")
def test_a_killed_ray_is_started_again(command: Command, training_only: Workflow) -> None:
    name = training_only["metadata"]["name"]
    process = command.start("run", command.write(training_only), "--local")
    wait_until(lambda: steps_of(command, name) > 2 * SAVE_STEPS, 240, "the second checkpoint")
    for part in command.processes(name):
        part.kill()

    assert process.wait(400) == 0

    tune = command.stages(name)["tune"]
    assert tune["attempt"] == 2
    assert tune["metrics"]["resumedFromStep"]["value"] >= SAVE_STEPS
    assert manifest(tune)["attempt"] == 2
    assert command.processes(name) == []


@pytest.mark.capability("row-checkpoints")
def test_a_killed_batch_worker_loses_and_doubles_no_row(command: Command, demo_workflow: Workflow) -> None:
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = "rows"
    base = stage_of(workflow, "base")
    base["batch"]["output"] = {"format": "jsonl"}
    workflow["spec"]["stages"] = [base]
    process = command.start("run", command.write(workflow), "--local")
    wait_until(lambda: command.stages("rows"), 120, "a status")
    wait_until(lambda: command.engines("rows"), 240, "a worker with an engine")
    worker = command.engines("rows")[0].parent()
    assert worker is not None
    assert worker.name().startswith("ray::")
    worker.kill()

    assert process.wait(400) == 0

    base = command.stages("rows")["base"]
    files = [file["path"] for file in manifest(base)["files"] if file["path"].startswith("rows/")]
    lines = [line for file in files for line in (folder_of(base) / file).read_text().splitlines()]
    rows = [json.loads(line)["input"] for line in lines]
    asked = [
        json.loads(line)["input"]
        for line in (command.volume / "data" / "test.jsonl").read_text().splitlines()
    ]
    assert sorted(rows) == sorted(asked)
