"""Where Ray is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmworkflow.local import ray_process
from llmworkflow.local.ray_process import RayProcess


class Ended:
    """A process that is over."""

    def poll(self) -> int:
        return 0


def test_no_module_of_the_users_folder_is_on_the_path_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[list[str]] = []

    def start(_: list[str], *, cwd: Path, **__: Any) -> Ended:
        began.append([path.name for path in cwd.iterdir()])
        return Ended()

    monkeypatch.setattr(ray_process.subprocess, "Popen", start)
    monkeypatch.setattr(ray_process, "check_machine", lambda _: None)
    monkeypatch.setattr(ray_process, "_answers", lambda _: True)
    process = RayProcess()
    process.start([])
    process.stop()
    assert began == [[]]
