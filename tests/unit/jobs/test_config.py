"""Reading the configuration of a stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs.config import load, parse
from llmworkflow_jobs.errors import JobError


@pytest.mark.parametrize("kind", ["fineTune", "batch", "serve"])
def test_section_is_that_of_the_kind(stage_config: Callable[..., Any], kind: str) -> None:
    document = stage_config(kind)
    config = parse(document)
    assert config.section == document[kind]
    assert config.output_uri == f"{document['storage']['uri']}/default/viggo/stage/0123456789ab/1"
    assert config.revision_uri == config.output_uri.removesuffix("/1")


def test_path_comes_from_the_environment(
    stage_config: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(stage_config("batch")))
    monkeypatch.setenv("LLMWORKFLOW_CONFIG", str(path))
    assert load().stage["kind"] == "batch"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemaVersion": 2}, "schemaVersion is 2"),
        ({"stage": {"kind": "dance"}}, "stage.kind is 'dance'"),
        ({"fineTune": None, "stage": {"kind": "serve"}}, "field serve is missing"),
    ],
)
def test_what_cannot_be_read_is_refused(
    stage_config: Callable[..., Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message) as caught:
        parse(stage_config("fineTune", **change))
    assert caught.value.reason == "OptionInvalid"


@pytest.mark.parametrize("content", [None, "{"])
def test_file_is_named_when_it_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(JobError, match=str(path)):
        load(str(path))


def test_no_path_at_all_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLMWORKFLOW_CONFIG", raising=False)
    with pytest.raises(JobError, match="LLMWORKFLOW_CONFIG"):
        load()
