"""`run` of a file whose stage failed, and what `plan` says of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmworkflow.api.load import load_workflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.cli.forecast import forecast
from llmworkflow.cli.main import main
from llmworkflow.core.observation import Observed
from llmworkflow.core.plan import plan
from llmworkflow.core.revision import revisions
from llmworkflow.local import driver
from llmworkflow.local.home import WorkflowHome

FILE = """
apiVersion: llmworkflow.io/v1alpha1
kind: LLMWorkflow
metadata: {name: later}
spec:
  model: {source: "volume:tiny"}
  storage: {volume: {claimName: data}}
  stages:
  - {name: score, batch: {input: {uri: "volume:later.csv"}}}
"""

Run = Callable[..., Result]


class Step:
    """In place of the driver: one step, where nothing runs."""

    def __init__(self, home: WorkflowHome, *_: object, **__: object) -> None:
        self._home = home

    def stop(self) -> None:
        """Nothing goes on."""

    def run(self, _: object) -> LLMWorkflowStatus:
        planned = plan(self._home.load(), self._home.status(), Observed(), datetime.now(UTC))
        self._home.save_status(planned.status)
        return planned.status


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driver, "Driver", Step)
    Path("later.yaml").write_text(FILE)
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


@pytest.fixture
def home(tmp_path: Path) -> WorkflowHome:
    """A workflow whose file was not there."""
    home = WorkflowHome(tmp_path, "default", "later")
    applied = home.apply(load_workflow(FILE))
    revision = revisions(applied, LLMWorkflowStatus().resolved)["score"]
    stage = {
        "name": "score",
        "kind": "batch",
        "state": "Failed",
        "reason": "FileNotFound",
        "message": "volume:later.csv does not exist",
        "revision": revision,
        "attempt": 1,
        "attempts": [
            {
                "revision": revision,
                "attempt": 1,
                "reason": "FileNotFound",
                "message": "volume:later.csv does not exist",
                "finishedAt": "2026-01-01T00:00:00Z",
            }
        ],
    }
    home.save_status(LLMWorkflowStatus.model_validate({"observedGeneration": 1, "stages": [stage]}))
    return home


def test_a_run_tries_again_what_failed(run: Run, home: WorkflowHome) -> None:
    told = run("plan", "later.yaml").output.splitlines()[1]
    assert told.split()[:4] == ["score", "batch", "try", "again"]
    assert "attempt 1 failed (FileNotFound)" in told
    run("run", "later.yaml", "--local")
    (stage,) = home.status().stages
    assert (stage.state, stage.attempt) == ("Starting", 2)


def test_on_a_cluster_what_failed_stays_so_until_a_retry(home: WorkflowHome) -> None:
    (step,) = forecast(home.load(), home.status(), local=False)
    assert (step.action, step.gpus) == ("stay failed", 0)
    assert step.why.endswith("`llmworkflow retry later --from score`")
