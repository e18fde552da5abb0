"""Every field is marked and described; what a model says of itself can be read again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llmworkflow.api.fields import Mark, SpecModel, fields_of, mark_of, models_below
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.spec.workflow import LLMWorkflow, WorkflowSpec
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.api.yaml_reader import read_documents

from .examples import EXAMPLES, content
from .instances import is_valid, smallest, valid_contents

MODELS = [model for model in models_below(WorkflowSpec) if issubclass(model, SpecModel)]
STATUS_MODELS = [model for model in models_below(LLMWorkflowStatus) if model not in MODELS]


def test_every_field_of_the_spec_is_marked() -> None:
    unmarked = [
        f"{model.__name__}.{name}"
        for model in MODELS
        for name, field in fields_of(model)
        if not mark_of(field)
    ]
    assert unmarked == []


def test_every_field_is_described_by_a_sentence() -> None:
    undescribed = [
        f"{model.__name__}.{name}"
        for model in [*MODELS, *STATUS_MODELS]
        for name, field in fields_of(model)
        if not (field.description or "").endswith(".")
    ]
    assert undescribed == []


OPERATIONAL = ["gates", "approval", "retries", "timeoutSeconds", "pendingTimeoutSeconds", "dependsOn"]


@pytest.mark.parametrize("name", OPERATIONAL)
def test_what_never_changes_a_result(name: str) -> None:
    stage = next(model for model in MODELS if model.__name__ == "Stage")
    assert mark_of(dict(fields_of(stage))[name]) is Mark.OPERATIONAL


def test_models_below_names_each_model_once() -> None:
    models = models_below(LLMWorkflow)
    assert len(models) == len(set(models)) > len(MODELS)


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_a_model_writes_it_reads(model: type[SpecModel], data: st.DataObject) -> None:
    instance = model.model_validate(data.draw(valid_contents(model)))
    for written in (instance.dump(), instance.written()):
        text = json.dumps(written, ensure_ascii=False)
        assert model.model_validate(read_documents(text)[0].value) == instance


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_what_a_workflow_writes_is_read(path: Any) -> None:
    workflow = parse_workflow(content(path))
    assert parse_workflow(workflow.dump()) == workflow
    assert parse_workflow(workflow.written()) == workflow


@pytest.mark.parametrize("model", MODELS)
def test_models_are_closed(model: type[SpecModel]) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        model.model_validate(smallest(model) | {"surely-unknown": 1})


@pytest.mark.parametrize(
    "quantity", [1, "1", "0.5", ".5", "1.", "500m", "16Gi", "1e3", "2E-1", "100n", "5Ki"]
)
def test_quantity(quantity: Any) -> None:
    assert is_valid(RESOURCES, {"cpu": quantity})


@pytest.mark.parametrize("quantity", [-1, 0.5, True, "", "1 Gi", "16GB", "Gi", "1e", "-1", "1.5.1", []])
def test_no_quantity(quantity: Any) -> None:
    assert not is_valid(RESOURCES, {"cpu": quantity})


RESOURCES = next(model for model in MODELS if model.__name__ == "Resources")
