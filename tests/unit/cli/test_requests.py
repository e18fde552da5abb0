"""What people ask for by commands: the annotations they leave, and what they are told."""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmworkflow.api.load import load_workflow
from llmworkflow.api.names import ANNOTATION_USER
from llmworkflow.api.status import Artifact, LLMWorkflowStatus, StageStatus, Verdict
from llmworkflow.cli.main import main
from llmworkflow.core.observation import Observed
from llmworkflow.core.plan import plan
from llmworkflow.core.requests import pending
from llmworkflow.core.revision import revisions
from llmworkflow.local.home import WorkflowHome

FILE = """
apiVersion: llmworkflow.io/v1alpha1
kind: LLMWorkflow
metadata: {name: viggo}
spec:
  model: {source: "volume:tiny"}
  storage: {volume: {claimName: data}}
  stages:
  - {name: score, approval: {required: true}, batch: {input: {uri: "volume:test.jsonl"}}}
"""
USER = pwd.getpwuid(os.getuid()).pw_name

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


@pytest.fixture
def home(tmp_path: Path) -> WorkflowHome:
    """A workflow whose only stage awaits approval."""
    home = WorkflowHome(tmp_path, "default", "viggo")
    applied = home.apply(load_workflow(FILE))
    status = LLMWorkflowStatus()
    revision = revisions(applied, status.resolved)["score"]
    made = Artifact(uri="file:///rows", digest="sha256:0", type="rows")
    verdict = Verdict(
        kind="batch", revision=revision, attempt=1, artifact=made, finished_at="2026-01-01T00:00:00Z"
    )
    stage = StageStatus(
        name="score",
        kind="batch",
        state="Checking",
        revision=revision,
        attempt=1,
        artifact=made,
        results=[verdict],
    )
    home.save_status(step(home, status.model_copy(update={"stages": [stage]})))
    assert home.status().stages[0].state == "AwaitingApproval"
    return home


def step(home: WorkflowHome, status: LLMWorkflowStatus) -> LLMWorkflowStatus:
    """What a driver's step makes of a status, where nothing runs."""
    return plan(home.load(), status, Observed(), datetime.now(UTC)).status


@contextmanager
def driven(home: WorkflowHome) -> Iterator[None]:
    """While another thread plans as a driver does."""
    ended = threading.Event()

    def drive() -> None:
        while not ended.wait(0.02):
            home.save_status(step(home, home.status()))

    home.save_driver({"pid": 1})
    driver = threading.Thread(target=drive)
    with home.lock():
        driver.start()
        yield
        ended.set()
        driver.join()


@pytest.mark.parametrize(
    ("command", "state", "message"),
    [("approve", "Succeeded", f"approved by {USER}"), ("reject", "Failed", f"rejected by {USER}")],
)
def test_a_decision_is_carried_out_while_a_driver_runs(
    run: Run, home: WorkflowHome, command: str, state: str, message: str
) -> None:
    with driven(home):
        ended = run(command, "--note", "read 20 rows")
    assert ended.exit_code == 0
    assert ended.output.startswith(f"score: {state} {message}")
    record = home.status().stages[0].approval
    assert record
    assert (record.user, record.note) == (USER, "read 20 rows")


def test_a_decision_waits_for_the_next_run(run: Run, home: WorkflowHome) -> None:
    ended = run("approve", "viggo", "score")
    assert (ended.exit_code, ended.output) == (0, "approve score of viggo: carried out at the next run\n")
    (asked,) = pending(home.load().metadata, {}, verified=False)
    assert (asked.stage, asked.revision, asked.user) == ("score", home.status().stages[0].revision, USER)
    again = run("approve")
    assert again.exit_code == 1
    assert "waits to be carried out" in again.output
    home.apply(load_workflow(FILE))  # as the next run does
    assert step(home, home.status()).stages[0].state == "Succeeded"


def test_retry_and_cancel_name_their_stage(run: Run, home: WorkflowHome) -> None:
    assert run("cancel").exit_code == 0
    home.save_status(step(home, home.status()))
    assert home.status().stages[0].state == "Cancelled"
    assert (
        run("retry", "viggo").output
        == "retry every stage that failed of viggo: carried out at the next run\n"
    )
    home.save_status(step(home, home.status()))
    assert home.status().stages[0].state == "Starting"
    assert run("retry", "viggo", "--from", "score").exit_code == 0
    assert home.load().metadata.annotations["llmworkflow.io/retry"].startswith("score@#")
    assert home.load().metadata.annotations[ANNOTATION_USER] == USER


def test_suspend_holds_until_resume(run: Run, home: WorkflowHome) -> None:
    assert "llmworkflow resume viggo" in run("suspend").output
    assert step(home, home.status()).phase == "Suspended"
    assert run("resume", "viggo").output == "viggo goes on at the next run\n"
    assert step(home, home.status()).phase == "AwaitingApproval"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["approve", "viggo", "scores"], "viggo has no stage scores; its stages are score"),
        (["approve", "other"], "no workflow default/other"),
        (["approve", "-n", "team"], "no workflow in namespace team"),
        (["rollback", "viggo", "score"], "serves nothing now: it is AwaitingApproval (ApprovalRequired)"),
        (["retry"], "viggo has no stage to retry: score is AwaitingApproval"),
    ],
)
def test_what_does_not_fit_is_told(run: Run, home: WorkflowHome, arguments: list[str], told: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 1
    assert told in ended.output
    assert home.load().metadata.annotations == {}


def test_one_of_several_workflows_has_to_be_named(run: Run, home: WorkflowHome, tmp_path: Path) -> None:
    WorkflowHome(tmp_path, "default", "other").apply(load_workflow(FILE.replace("viggo", "other")))
    ended = run("approve")
    assert ended.exit_code == 1
    assert "name one of other, viggo" in ended.output


@pytest.mark.capability("page")
def test_the_report_is_one_file(run: Run, home: WorkflowHome, tmp_path: Path) -> None:
    home.apply(load_workflow(FILE))
    ended = run("report", "viggo", "-o", str(tmp_path / "page.html"))
    assert (ended.exit_code, ended.output.strip()) == (0, str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert "llmworkflow approve viggo score" in page
    assert home.status().stages[0].revision in page
    assert "file:///rows/manifest.json: not there" in page
