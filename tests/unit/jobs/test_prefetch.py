"""A model that is fetched, and copied to a mirror, before anyone needs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import config, prefetch, report
from llmworkflow_jobs.errors import JobError

FILES = {"config.json": "{}", "model.safetensors": "weights", "original/params.json": "{}"}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function (mirror) that runs the job on a model of three files, and returns the report."""
    for name, text in FILES.items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    document = {
        "schemaVersion": 1,
        "workflow": {"namespace": "default", "name": "viggo", "uid": "0f6c0d2a"},
        "stage": {"name": "fetch", "kind": "prefetch", "revision": "0123456789ab", "attempt": 1},
        "storage": {"uri": tmp_path.as_uri(), "path": "default/viggo", "endpoint": None, "adopt": False},
        "model": {"source": "volume:model", "revision": None, "trustRemoteCode": False},
        "prompt": {},
    }

    def main(mirror: str | None) -> dict[str, Any]:
        job = config.parse(document | {"prefetch": {"mirror": mirror}})
        prefetch.main(job, report.Report(job, report.FileSink(str(tmp_path / "report.json"))))
        found: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
        return found

    return main


@pytest.mark.capability("prefetch")
def test_the_model_is_found_and_its_digest_told(run: Callable[..., dict[str, Any]]) -> None:
    found = run(None)
    assert (found["state"], found["artifact"]) == ("Succeeded", None)
    assert found["resolved"]["volume:model"].startswith("sha256:")


@pytest.mark.capability("prefetch")
def test_a_mirror_has_all_files(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert run("volume:mirrors/qwen")["state"] == "Succeeded"
    mirror = tmp_path / "mirrors" / "qwen"
    copied = {
        path.relative_to(mirror).as_posix(): path.read_text() for path in mirror.rglob("*") if path.is_file()
    }
    assert copied == FILES


def test_a_copy_that_is_cut_short_is_no_model(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "mirrors" / "qwen" / "original").mkdir(parents=True)
    (tmp_path / "mirrors" / "qwen" / "original" / "params.json").mkdir()  # where a file is to be
    with pytest.raises(OSError, match=r"params\.json"):
        run("volume:mirrors/qwen")
    assert not (tmp_path / "mirrors" / "qwen" / "config.json").exists()


def test_a_model_that_is_none_is_told(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(JobError, match=r"config\.json") as caught:
        run(None)
    assert caught.value.reason == "ModelInvalid"
