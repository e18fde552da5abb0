"""Commands in a folder of their own, and a workflow that was applied there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmworkflow.api.load import load_workflow
from llmworkflow.api.status import LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.cli.main import main
from llmworkflow.local.home import WorkflowHome

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def home(run: Run, tmp_path: Path) -> WorkflowHome:
    """A workflow that was applied, with what it reads, and a status."""
    run("init")
    for name in ("train.jsonl", "test.jsonl"):
        Path(name).touch()
    home = WorkflowHome(tmp_path / "home", "default", "my-workflow")
    home.apply(load_workflow(Path("workflow.yaml")))
    tune = StageStatus(name="tune", kind="fineTune", state=StageState.RUNNING)
    home.save_status(LLMWorkflowStatus(phase="Running", stage="tune", score="exactMatch 0.93", stages=[tune]))
    return home
