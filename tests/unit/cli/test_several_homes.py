"""Workflows of this machine that nothing drives, that others left behind, or that lie in several namespaces."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from llmworkflow.api.load import load_workflow
from llmworkflow.api.status import Child, LLMWorkflowStatus, Promotion, StageState, StageStatus
from llmworkflow.cli.main import main
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.storage import reached
from llmworkflow_jobs import storage

FILE = """
apiVersion: llmworkflow.io/v1alpha1
kind: LLMWorkflow
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  model: {{source: "volume:tiny"}}
  storage: {storage}
  stages:
  - {{name: chat, serve: {{models: [{{modelId: viggo}}]}}}}
"""
VOLUME = "{volume: {claimName: data}}"
BUCKET = "{uri: 's3://rows', endpoint: 'http://127.0.0.1:9', credentialsFrom: {secretRef: {name: keys}}}"

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def applied(root: Path, name: str, namespace: str = "default", where: str = VOLUME) -> WorkflowHome:
    home = WorkflowHome(root, namespace, name)
    home.apply(load_workflow(FILE.format(name=name, namespace=namespace, storage=where)))
    return home


@pytest.fixture
def killed(tmp_path: Path) -> WorkflowHome:
    """What a driver leaves that was killed while it served."""
    home = applied(tmp_path, "viggo")
    served = Promotion(
        stage="chat", model_id="viggo", revision="1a", digest="d", since="x", url="http://127.0.0.1:9"
    )
    child = Child(kind="RayService", name="viggo-chat")
    stage = StageStatus(name="chat", kind="serve", state=StageState.SERVING, child=child, serving=served)
    home.save_status(
        LLMWorkflowStatus(phase="Serving", stages=[stage], serving=served, url="http://127.0.0.1:9")
    )
    home.save_driver({"pid": 0, "port": 9})
    return home


def test_what_a_killed_driver_served_is_served_no_more(run: Run, killed: WorkflowHome) -> None:
    told = run("status", "viggo").output
    assert "Stalled" in told
    assert "the process that drove it was killed" in told
    assert "Serving" not in told
    assert "False" in run("status").output
    asked = run("chat", "viggo", "Hello")
    assert (asked.exit_code, "serves nothing now" in asked.output) == (1, True)
    killed.suspend("ann")
    assert run("chat", "viggo", "Hello").output == (
        "error: viggo is suspended: `llmworkflow resume viggo` goes on\n"
    )


def test_a_workflow_is_deleted_and_what_it_made_stays(run: Run, killed: WorkflowHome) -> None:
    made = killed.volume("data") / "rows.jsonl"
    made.parent.mkdir(parents=True)
    made.touch()
    with killed.lock():
        refused = run("delete", "viggo")
    assert refused.exit_code == 1
    assert "viggo runs, driven by process 0: end that with Ctrl-C, or with `llmworkflow stop viggo`" in (
        refused.output
    )
    assert run("delete", "viggo").output == "llmworkflow.llmworkflow.io/viggo deleted\n"
    assert not killed.folder.exists()
    assert made.exists()
    assert "there is no workflow on this machine" in run("status").output


def test_while_it_is_driven_the_status_is_as_it_was_written(run: Run, killed: WorkflowHome) -> None:
    with killed.lock():
        assert "Serving" in run("status", "viggo").output


@pytest.mark.parametrize("name", ["", ".", "..", "x?dryRun=All", "a/b", "-x"])
def test_what_is_no_name_leads_nowhere(run: Run, killed: WorkflowHome, name: str) -> None:
    ended = run("status", "--", name)
    assert ended.exit_code == 1
    assert f"{name!r} is no name of a workflow" in ended.output


def test_the_only_workflow_is_found_in_whatever_namespace(run: Run, tmp_path: Path) -> None:
    applied(tmp_path, "solo", "team")
    assert run("suspend").output == "solo is suspended; `llmworkflow resume solo -n team` goes on\n"
    assert run("status", "solo").exit_code == 0
    assert run("stop", "solo").output == "solo is not running\n"
    applied(tmp_path, "solo", "other")
    assert "name one of solo -n other, solo -n team" in run("suspend").output
    assert "there are: other/solo, team/solo" in run("status", "solo").output
    applied(tmp_path, "solo")
    assert run("status", "solo").exit_code == 0


def test_a_damaged_file_is_named(run: Run, killed: WorkflowHome) -> None:
    path = killed.folder / "workflow.json"
    path.write_text('{"spec"')
    ended = run("status", "viggo")
    assert ended.exit_code == 1
    assert f"error: {path} cannot be read" in ended.output


@pytest.mark.parametrize("command", [("gc", "--dry-run"), ("models",)])
def test_a_storage_out_of_reach_keeps_nobody_from_the_others(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    applied(tmp_path, "a", where=BUCKET)
    applied(tmp_path, "b")
    ended = run(*command)
    assert ended.exit_code == 1
    assert "error: default/a: secret default/keys is not on this machine" in ended.output
    assert "b: would remove 0" in ended.output or "no model was made yet" in ended.output


def test_a_storage_is_reached_as_its_own_workflow_says(tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "default" / "keys"
    secret.mkdir(parents=True)
    (secret / "AWS_ACCESS_KEY_ID").write_text("of-a")
    (secret / "AWS_ACCESS_KEY_ID").chmod(0o600)
    bucket, before = applied(tmp_path, "a", where=BUCKET), dict(os.environ)
    with reached(bucket, bucket.load()) as config:
        first, _ = storage.open_uri(config.workflow_uri, config)
        assert os.environ["AWS_ACCESS_KEY_ID"] == "of-a"
        assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert dict(os.environ) == before
    with reached(bucket, bucket.load()) as config:
        assert storage.open_uri(config.workflow_uri, config)[0] is not first, "with credentials of its own"


def test_a_demo_that_runs_is_left_alone(run: Run, tmp_path: Path) -> None:
    home = applied(tmp_path, "demo")
    home.save_driver({"pid": os.getpid(), "port": 9})
    with home.lock():
        ended = run("demo")
    assert (ended.exit_code, "the demo runs already" in ended.output) == (1, True)
    assert not (tmp_path / "volumes").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--model", "Qwen/Qwen2.5-0.5B-Instruct"), "a model of the hub is hf://Qwen/Qwen2.5-0.5B-Instruct"),
        (("--port", "80000"), "80000 is not in the range 1<=x<=65535"),
    ],
)
def test_a_demo_of_nothing_that_is_there_is_refused(run: Run, options: tuple[str, ...], told: str) -> None:
    ended = run("demo", *options)
    assert (ended.exit_code, told in " ".join(ended.output.split())) == (2, True), ended.output
