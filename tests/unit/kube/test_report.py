"""Reports are believed where they speak of the child's own work, and of nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmworkflow.kube.children import record_of
from llmworkflow.kube.report import of_config_map, of_text

from .builders import rayjob

CHILD = record_of(rayjob())
REPORT = {
    "schemaVersion": 1,
    "workflow": "w-1",
    "stage": "tune",
    "revision": "1a1a",
    "attempt": 1,
    "state": "Succeeded",
}


def config_map(text: str) -> dict[str, Any]:
    return {"data": {"report.json": text}}


def test_report_of_the_child() -> None:
    found = of_config_map(config_map(json.dumps(REPORT)), CHILD)
    assert found is not None
    assert found.state == "Succeeded"


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"data": None},
        config_map(""),
        config_map("{"),
        config_map("[]"),
        config_map(json.dumps(REPORT | {"workflow": "w-2"})),
        config_map(json.dumps(REPORT | {"stage": "score"})),
        config_map(json.dumps(REPORT | {"revision": "2b2b"})),
        config_map(json.dumps(REPORT | {"attempt": 2})),
        config_map(json.dumps(REPORT | {"schemaVersion": 2})),
    ],
)
def test_anything_else_is_none(content: dict[str, Any] | None) -> None:
    assert of_config_map(content, CHILD) is None


def test_child_without_an_attempt_has_no_report() -> None:
    assert of_text(json.dumps(REPORT), record_of(rayjob(labels={}))) is None
