"""What a stage printed on this machine: its job into one file, an endpoint into one for each replica."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

import pytest

from llmworkflow.api.load import load_workflow
from llmworkflow.api.status import Child, LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.client import machine
from llmworkflow.client.machine import MachineWorkflow
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, write_json

FILE = """
apiVersion: llmworkflow.io/v1alpha1
kind: LLMWorkflow
metadata: {name: viggo}
spec:
  model: {source: "volume:tiny"}
  storage: {volume: {claimName: data}}
  stages:
  - {name: chat, serve: {models: [{modelId: viggo}]}}
"""


@pytest.fixture
def home(tmp_path: Path) -> WorkflowHome:
    """A workflow whose stage printed something in an earlier run, and whose Ray runs."""
    home = WorkflowHome(tmp_path, "default", "viggo")
    home.apply(load_workflow(FILE))
    home.save_driver({"pid": 1, "port": 8000, "folder": str(tmp_path / "ray")})
    write_json(home.configs / "viggo-chat.json", {"stage": {"name": "chat"}})
    home.logs.mkdir()
    (home.logs / "viggo-chat.log").write_text("kept\n")
    return home


def has_child(home: WorkflowHome, kind: Literal["RayJob", "RayService"] | None) -> None:
    child = Child(kind=kind, name="viggo-chat") if kind else None
    stage = StageStatus(name="chat", kind="serve", state=StageState.RUNNING, child=child)
    home.save_status(LLMWorkflowStatus(stages=[stage]))


def prints(home: WorkflowHome, replica: str, text: str) -> None:
    folder = home.root / "ray" / "session_latest" / "logs" / "serve"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"replica_{replica}.log").open("a") as log:
        log.write(text)


def logs(home: WorkflowHome) -> str:
    return "".join(MachineWorkflow(home).logs("chat", follow=False))


def test_an_endpoint_that_runs_shows_all_its_replicas(home: WorkflowHome) -> None:
    has_child(home, "RayService")
    with home.lock():
        with pytest.raises(LocalError, match="stage chat of viggo has not printed anything yet"):
            logs(home)
        prints(home, "a", "starts\n")
        prints(home, "b", "fails\n")
        assert logs(home) == "starts\nfails\n"
    assert logs(home) == "kept\n", "nobody drives it any more"


@pytest.mark.parametrize("kind", ["RayJob", None])
def test_whatever_else_runs_shows_its_own_file(
    home: WorkflowHome, kind: Literal["RayJob", "RayService"] | None
) -> None:
    has_child(home, kind)
    prints(home, "of-another-stage", "no\n")
    with home.lock():
        assert logs(home) == "kept\n"


def test_an_endpoint_is_followed_from_before_its_start_to_its_end(
    home: WorkflowHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "LOG_POLL_SECONDS", 0.01)
    has_child(home, "RayService")
    seen: list[str] = []

    def wait_for(text: str) -> None:
        for _ in range(1000):
            if text in "".join(seen):
                return
            threading.Event().wait(0.01)
        raise AssertionError(f"{text!r} was never shown")

    def follow() -> None:
        seen.extend(MachineWorkflow(home).logs("chat", follow=True))  # piece by piece

    with home.lock():
        reader = threading.Thread(target=follow)
        reader.start()
        prints(home, "a", "starts\n")
        wait_for("starts\n")
        prints(home, "b", "another\n")
        wait_for("another\n")
        prints(home, "a", "last\n")
        has_child(home, None)
        reader.join(20)
    assert not reader.is_alive()
    assert "".join(seen) == "starts\nanother\nlast\n"
