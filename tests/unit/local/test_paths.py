"""Relative paths are taken from the file's folder; addresses stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.local.paths import placed, with_absolute_paths

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
        ("my_rows:1.jsonl", "/data/project/my_rows:1.jsonl"),
    ],
)
def test_paths(written: str, read: str) -> None:
    batch = with_absolute_paths(workflow(written), FOLDER).spec.stages[0].batch
    assert batch is not None
    assert batch.input.uri == read


def test_copies_are_beside_the_file_as_well() -> None:
    spec = {
        "model": {"source": "./tiny"},
        "storage": {"volume": {"claimName": "data"}},
        "stages": [
            {"name": "near", "prefetch": {"mirror": "./near"}},
            {"name": "tune", "fineTune": {"data": {"train": [{"uri": "a"}]}, "export": {"mirror": "./out"}}},
        ],
    }
    before = LLMWorkflow.model_validate({"metadata": {"name": "copies"}, "spec": spec})
    near, tune = with_absolute_paths(before, FOLDER).spec.stages
    assert near.prefetch
    assert tune.fine_tune
    assert near.prefetch.mirror == "/data/project/near"
    assert tune.fine_tune.export.mirror == "/data/project/out"


def test_what_is_no_address_stays_as_it_is() -> None:
    own = {"source": "Hello world", "uri": "plain"}
    spec = {
        "model": {"source": "volume:tiny"},
        "storage": {"volume": {"claimName": "data"}},
        "stages": [
            {"name": "tune", "fineTune": {"engine": "llamaFactory", "config": own}},
            {"name": "score", "batch": {"input": {"items": [own]}, "engineKwargs": own}},
            {
                "name": "chat",
                "serve": {
                    "models": [{"modelId": "m"}],
                    "applications": [
                        {"name": "a", "importPath": "a:b", "routePrefix": "/a", "args": own},
                    ],
                },
            },
        ],
    }
    before = LLMWorkflow.model_validate({"metadata": {"name": "own"}, "spec": spec})
    assert with_absolute_paths(before, FOLDER) == before


def test_the_folder_of_the_file_is_remembered() -> None:
    found = placed(workflow("rows.jsonl"), FOLDER)
    assert found.metadata.annotations == {"llmworkflow.io/folder": "/data/project"}
    assert found.spec == with_absolute_paths(workflow("rows.jsonl"), FOLDER).spec


def test_nothing_else_is_set() -> None:
    before = workflow()
    after = with_absolute_paths(before, FOLDER)
    assert after.spec.model_fields_set == before.spec.model_fields_set
    assert after == before
