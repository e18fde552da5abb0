"""The operator's settings, from one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmworkflow.kube.settings import SettingsError, load_settings


def test_defaults_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMWORKFLOW_SETTINGS", raising=False)
    assert load_settings(None).namespaces == []


def test_file_by_argument_or_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("namespaces: [team]\njobs:\n  image: jobs:2\n  accelerators: {big: {type: H200}}\n")
    monkeypatch.setenv("LLMWORKFLOW_SETTINGS", str(path))
    for found in (load_settings(None), load_settings(str(path))):
        assert (found.namespaces, found.jobs.image) == (["team"], "jobs:2")
        assert found.jobs.accelerators["big"].type == "H200"


@pytest.mark.parametrize("text", ["namespace: [team]", "workers: many", "a: ["])
def test_what_is_no_setting_is_refused_with_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"settings\.yaml"):
        load_settings(str(path))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(str(tmp_path / "none.yaml"))
