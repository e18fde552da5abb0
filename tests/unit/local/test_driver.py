"""How a run begins, and how it ends where Ray does not answer. What answers here is a server of the test."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from llmworkflow.local import driver as driver_module
from llmworkflow.local import jobs
from llmworkflow.local.driver import Driver
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.machine import free_port
from llmworkflow.local.ray_process import RayAddress
from llmworkflow_jobs.storage import CACHE_ENV

from .servers import served
from .test_home import workflow


class Dashboard:
    """Tells the version of Ray; to anything else it answers 503, or nothing as long as it hangs."""

    def __init__(self) -> None:
        self.url = ""
        self.hangs = False
        self.asked = threading.Event()
        self.ended = threading.Event()

    def answer(self, _: str, path: str, __: bytes) -> tuple[int, str]:
        if path == "/api/version":
            return 200, json.dumps({"ray_version": ray.__version__})
        self.asked.set()
        if self.hangs:
            self.ended.wait(30)
        return 503, "busy"


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    fake = Dashboard()
    with served(fake.answer) as fake.url:
        yield fake
        fake.ended.set()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkflowHome:
    monkeypatch.setenv(CACHE_ENV, "")  # a run sets it for its process
    home = WorkflowHome(tmp_path, "default", "viggo")
    home.apply(workflow())
    return home


@pytest.mark.parametrize("hangs", [False, True])
def test_a_run_whose_ray_does_not_answer_can_be_stopped(
    home: WorkflowHome, dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    dashboard.hangs = hangs

    class Ray:
        def start(self, _: list[str]) -> RayAddress:
            return RayAddress("session", dashboard.url, dashboard.url, "token", str(home.root / "ray"))

        def alive(self) -> bool:
            return True

        def stop(self) -> None:
            """Nothing runs."""

    monkeypatch.setattr(driver_module, "RayProcess", Ray)
    monkeypatch.setattr(driver_module, "WITHDRAW_SECONDS", 0)
    monkeypatch.setattr(driver_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "TIMEOUT_SECONDS", 0.1)
    driver = Driver(home, free_port(), on_step=lambda _: None)

    def stop() -> None:
        assert dashboard.asked.wait(20)
        driver.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    assert driver.run(lambda _: False) == home.status()
    thread.join()
    assert home.driver() is None


def test_nobody_takes_another_process_for_the_driver_while_ray_starts(
    home: WorkflowHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = home.root / "left"
    left.mkdir()
    killed = {"pid": 1, "session": "0badcafe", "folder": str(left), "dashboard": "http://gone", "port": 1}
    home.save_driver(killed)
    told: list[dict[str, Any] | None] = []

    class Ray:
        def start(self, _: list[str]) -> RayAddress:
            told.append(home.driver())
            raise LocalError("Ray ended while starting")

        def stop(self) -> None:
            """Nothing runs."""

    def clear_session(session: str, folder: str) -> None:
        assert (session, folder) == ("0badcafe", str(left))
        told.append(home.driver())

    monkeypatch.setattr(driver_module, "RayProcess", Ray)
    monkeypatch.setattr(driver_module, "clear_session", clear_session)
    port = free_port()
    with pytest.raises(LocalError, match="while starting"):
        Driver(home, port, on_step=lambda _: None).run(lambda _: False)
    assert told == [{"pid": os.getpid(), "port": port, "session": "0badcafe", "folder": str(left)}] * 2
