"""A job that has reported ends by itself; one that has not is stopped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from llmworkflow.core.actions import DeleteChild
from llmworkflow.local import jobs
from llmworkflow.local.backend import LocalBackend
from llmworkflow.local.home import WorkflowHome, write_json
from llmworkflow.local.machine import free_port
from llmworkflow.local.port import Port
from llmworkflow.local.ray_process import RayAddress

from .servers import served
from .test_home import workflow

NAME = "viggo-score"
DELETE = DeleteChild("RayJob", NAME, "uid", "score")


class Dashboard:
    """Ray's job API with one job."""

    def __init__(self) -> None:
        self.status = "RUNNING"
        self.asked: list[str] = []

    def answer(self, method: str, path: str, _: bytes) -> tuple[int, str]:
        if path == "/api/version":
            return 200, json.dumps({"ray_version": ray.__version__})
        if method == "GET":
            told = {"type": "SUBMISSION", "submission_id": NAME, "entrypoint": "", "status": self.status}
            return 200, json.dumps(told)
        asked, done = ("delete", "deleted") if method == "DELETE" else ("stop", "stopped")
        self.asked.append(asked)
        self.status = "STOPPED"
        return 200, json.dumps({done: True})


@pytest.fixture
def dashboard() -> Dashboard:
    return Dashboard()


@pytest.fixture
def backend(dashboard: Dashboard, tmp_path: Path) -> Iterator[LocalBackend]:
    home = WorkflowHome(tmp_path, "default", "viggo")
    home.apply(workflow())
    with served(dashboard.answer) as url:
        address = RayAddress("session", url, url, "token", str(tmp_path / "ray"))
        yield LocalBackend(home, address, Port(free_port()))


def report(tmp_path: Path, state: str) -> None:
    content = {"workflow": "u", "stage": "score", "revision": "1a", "attempt": 1, "state": state}
    folder = WorkflowHome(tmp_path, "default", "viggo").reports
    write_json(folder / f"{NAME}.json", {"schemaVersion": 1, **content})


@pytest.mark.parametrize("state", ["Succeeded", "Failed"])
def test_a_job_that_has_reported_ends_by_itself(
    backend: LocalBackend, dashboard: Dashboard, tmp_path: Path, state: str
) -> None:
    report(tmp_path, state)
    backend.execute(workflow(), DELETE)
    assert dashboard.asked == []
    dashboard.status = "SUCCEEDED"
    backend.execute(workflow(), DELETE)
    assert dashboard.asked == ["delete"]


def test_a_job_that_does_not_end_is_stopped(
    backend: LocalBackend, dashboard: Dashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ENDING_SECONDS", 0)
    report(tmp_path, "Succeeded")
    backend.execute(workflow(), DELETE)
    assert dashboard.asked == ["stop", "delete"]


@pytest.mark.parametrize("state", ["", "Running"])
def test_a_job_that_works_is_stopped_at_once(
    backend: LocalBackend, dashboard: Dashboard, tmp_path: Path, state: str
) -> None:
    if state:
        report(tmp_path, state)
    backend.execute(workflow(), DELETE)
    assert dashboard.asked == ["stop", "delete"]
