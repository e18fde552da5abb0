"""Relative paths are taken from the file's folder; addresses stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmworkflow.local.paths import with_absolute_paths

from .test_home import workflow

FOLDER = Path("/data/project")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("./rows.jsonl", "/data/project/rows.jsonl"),
        ("../rows.jsonl", "/data/rows.jsonl"),
        ("rows.jsonl", "/data/project/rows.jsonl"),
        ("/rows.jsonl", "/rows.jsonl"),
        ("volume:rows.jsonl", "volume:rows.jsonl"),
        ("s3://bucket/rows.jsonl", "s3://bucket/rows.jsonl"),
        ("https://example.org/rows.jsonl", "https://example.org/rows.jsonl"),
    ],
)
def test_paths(written: str, read: str) -> None:
    batch = with_absolute_paths(workflow(written), FOLDER).spec.stages[0].batch
    assert batch is not None
    assert batch.input.uri == read


def test_nothing_else_is_set() -> None:
    before = workflow()
    after = with_absolute_paths(before, FOLDER)
    assert after.spec.model_fields_set == before.spec.model_fields_set
    assert after == before
