"""What is generated from the models is up to date, and the check says so where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmworkflow import generate


def test_repository_is_up_to_date() -> None:
    assert generate.stale(generate.ROOT) == [], f"run `{generate.COMMAND}`"


def test_what_is_written_is_not_stale(tmp_path: Path) -> None:
    generate.write(tmp_path)
    assert generate.stale(tmp_path) == []


def test_check_names_the_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "manifests" / "crd.yaml").write_text("edited: by hand\n")
    (tmp_path / "docs" / "reference.md").unlink()
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "manifests/crd.yaml is not what the models say: run `python -m llmworkflow.generate`",
        "docs/reference.md is not what the models say: run `python -m llmworkflow.generate`",
    ]
    assert (tmp_path / "manifests" / "crd.yaml").read_text() == "edited: by hand\n"
