"""Environments of libraries: that of the image where it has the same packages, else one that is made."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import overlay
from llmworkflow_jobs.errors import JobError


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was asked of pip, which does nothing here and says that it went well."""
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, int("missing" in command), stderr="no such package")

    monkeypatch.setattr(overlay.subprocess, "run", run)
    monkeypatch.setattr(overlay.venv, "create", _empty)
    return asked


def _empty(folder: Path, with_pip: bool) -> None:
    assert with_pip
    (folder / "bin").mkdir()
    (folder / "lib/python3.11/site-packages").mkdir(parents=True)


def test_an_environment_is_made_once_for_the_same_packages(
    tmp_path: Path, installed: list[list[str]]
) -> None:
    first = overlay.python("tool", ("a==1",), tmp_path)
    assert overlay.python("tool", ("a==1",), tmp_path) == first
    assert overlay.python("tool", ("a==2",), tmp_path) != first
    assert [command[-1] for command in installed] == ["a==1", "a==2"]


@pytest.mark.capability("pod-images")
def test_that_of_the_image_is_taken_where_it_has_the_same_packages(
    tmp_path: Path, installed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    image, cache = tmp_path / "image", tmp_path / "cache"
    brought = overlay.python("tool", ("a==1",), image)
    monkeypatch.setenv(overlay.IMAGE_ENV, str(image))
    assert overlay.python("tool", ("a==1",), cache) == brought
    assert overlay.python("tool", ("a==2",), cache).is_relative_to(cache)
    assert len(installed) == 2


def test_what_cannot_be_installed_is_told(tmp_path: Path, installed: list[list[str]]) -> None:
    with pytest.raises(JobError, match="tool cannot be installed, pip says: no such package") as caught:
        overlay.python("tool", ("missing",), tmp_path)
    assert caught.value.retryable
    assert len(installed) == 1
