"""`models` lists what lies on the storage of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from llmworkflow.api.load import load_workflow
from llmworkflow.cli.main import main
from llmworkflow.local.home import WorkflowHome

MANIFEST = {
    "type": "adapter",
    "base": {"source": "hf://org/base", "digest": "commit:1"},
    "metrics": {"trainLoss": 0.25},
    "createdAt": "2026-01-01T00:00:00Z",
}
REVISION = "0123456789ab"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkflowHome:
    """A workflow that has tuned once."""
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    run("init")
    home = WorkflowHome(tmp_path / "home", "default", "my-workflow")
    workflow = home.apply(load_workflow(Path("workflow.yaml")))
    assert workflow.spec.storage.volume
    folder = home.volume(workflow.spec.storage.volume.claim_name) / "default" / "my-workflow"
    artifact = folder / "tune" / REVISION / "2"
    artifact.mkdir(parents=True)
    (artifact / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "tune" / REVISION / "1").mkdir()
    (folder / "tune" / REVISION / "1" / "half.bin").write_bytes(b"0")
    return home


def run(*arguments: str) -> Result:
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 0, ended.output
    return ended


@pytest.mark.capability("model-card")
def test_models_are_listed(home: WorkflowHome) -> None:
    head, model = run("models").stdout.splitlines()
    assert head.split() == ["WORKFLOW", "STAGE", "REVISION", "TYPE", "BASE", "SCORES", "SERVES", "AGE"]
    assert model.split()[:7] == [
        "my-workflow",
        "tune",
        REVISION,
        "adapter",
        "hf://org/base",
        "trainLoss",
        "0.25",
    ]
    wide = run("models", "my-workflow", "-o", "wide").stdout.splitlines()[1]
    assert wide.split()[-1].endswith(f"/default/my-workflow/tune/{REVISION}/2")


def test_scores_are_shown_and_counts_only_for_who_asks(home: WorkflowHome) -> None:
    (tuned,) = (home.root / "volumes").rglob(f"tune/{REVISION}/2")
    rows = tuned.parents[2] / "score" / REVISION / "1"
    rows.mkdir(parents=True)
    metrics = {"exactMatch": {"value": 0.5, "n": 8}, "own:metric": 0.25, "rows": 8, "rowsPerSecond": 2.0}
    made = {**MANIFEST, "type": "rows", "model": {"uri": str(tuned)}, "metrics": metrics}
    (rows / "manifest.json").write_text(json.dumps(made))
    assert "exactMatch 0.5, own:metric 0.25   " in run("models").stdout
    assert "exactMatch 0.5, own:metric 0.25, rows 8, rowsPerSecond 2" in run("models", "-o", "wide").stdout


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_models_for_programs(home: WorkflowHome, output: str) -> None:
    text = run("models", "-o", output).stdout
    (model,) = json.loads(text) if output == "json" else yaml.safe_load(text)
    assert (model["attempt"], model["losses"], model["serves"]) == (2, {"trainLoss": 0.25}, [])
    assert model["digest"].startswith("sha256:")


def test_no_models_yet(home: WorkflowHome) -> None:
    (home.root / "volumes").rename(home.root / "away")
    assert "my-workflow: no model was made yet" in run("models", "my-workflow").stderr
    assert run("models", "-o", "json").stdout == "[]\n"
