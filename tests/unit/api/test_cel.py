"""Rules mean the same in CEL, which the API server runs, and in Python."""

# ruff: noqa: E501 -- a table of whole lines

from __future__ import annotations

from pathlib import Path
from typing import Any

import cel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from llmworkflow.api.crd import resource_schema
from llmworkflow.api.fields import CelRule, SpecModel, models_below
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.problems import InvalidWorkflow
from llmworkflow.api.schema import structural_schema
from llmworkflow.api.spec.common import OWN_GROUPS
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.validate import validate

from .examples import EXAMPLES, FULL, WIDE, content, edited
from .instances import contents
from .schemas import with_defaults

MODELS = [model for model in models_below(LLMWorkflow) if issubclass(model, SpecModel)]
MODELS_WITH_RULES = [model for model in MODELS if model.rules]


def holds(rule: CelRule, value: Any) -> bool:
    """Whether the API server finds that the rule holds for a value in which defaults are filled in."""
    context = cel.Context()
    context.add_variable("self", value)
    # of Kubernetes' own library: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library
    context.add_function("indexOf", lambda items, item: items.index(item) if item in items else -1)
    return bool(cel.evaluate(rule.cel, context))


@pytest.mark.parametrize("model", MODELS_WITH_RULES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_rules_mean_the_same_in_python(model: type[SpecModel], data: st.DataObject) -> None:
    value = data.draw(contents(model))
    filled = with_defaults(structural_schema(model), value)
    broken = next((rule.message for rule in model.rules if not holds(rule, filled)), None)
    told = _complaint(model, value)
    assert broken == told or (broken and told and told.startswith(f"{broken}; "))


def _complaint(model: type[SpecModel], value: dict[str, Any]) -> str | None:
    """What the model says of a rule that the value breaks; the value has the right form."""
    try:
        model.model_validate(value, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        (only,) = error.errors()
        return str(only["ctx"]["error"])
    return None


def broken_rules(document: dict[str, Any]) -> list[str]:
    """Messages of the rules that the API server finds broken."""
    schema = resource_schema()
    return list(_broken(schema, with_defaults(schema, document)))


def _broken(schema: dict[str, Any], value: Any) -> Any:
    for rule in schema.get("x-kubernetes-validations", []):
        if not holds(CelRule(rule["rule"], rule["message"]), value):
            yield rule["message"]
    if isinstance(value, dict) and "properties" in schema:
        for name, field in schema["properties"].items():
            if name in value:
                yield from _broken(field, value[name])
    if isinstance(value, list) and "items" in schema:
        for item in value:
            yield from _broken(schema["items"], item)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_break_no_rule(path: Path) -> None:
    assert broken_rules(content(path)) == []


@pytest.mark.parametrize("name", OWN_GROUPS)
def test_a_group_has_no_name_of_the_operators_own(name: str) -> None:
    message = "workers and ingress are groups of the operator's own; choose another name"
    group = edited(FULL, ("spec", "ray", "workerGroups"), [{"name": name}])
    assert broken_rules(group) == [message]
    with pytest.raises(InvalidWorkflow, match=message):
        parse_workflow(group)
    free = edited(FULL, ("spec", "ray", "workerGroups"), [{"name": f"{name}-2"}])
    assert broken_rules(free) == []
    parse_workflow(free)


STAGES = ("spec", "stages")
TUNE = (*STAGES, 0, "fineTune")

BREAKING: list[tuple[Path, tuple[str | int, ...], Any, str]] = [
    (FULL, ("metadata", "name"), "x" * 64, "metadata.name has at most 63 characters"),
    (FULL, (*STAGES, 1, "dependsOn"), ["tune", "score"], "dependsOn names earlier stages"),
    (FULL, (*STAGES, 1, "dependsOn"), ["tune", "chat"], "dependsOn names earlier stages"),
    (FULL, (*STAGES, 1, "dependsOn"), ["gone"], "dependsOn names earlier stages"),
    (FULL, (*STAGES, 0, "fineTune", "model"), {"stage": "score"}, "fineTune.model.stage names an earlier fineTune stage"),
    (FULL, (*STAGES, 1, "batch", "model", "stage"), "chat", "batch.model.stage names an earlier fineTune stage"),
    (FULL, (*STAGES, 1, "batch", "model", "stage"), "gone", "batch.model.stage names an earlier fineTune stage"),
    (FULL, (*STAGES, 1, "batch", "input"), {"stage": "tune"}, "batch.input.stage names an earlier batch stage"),
    (FULL, (*STAGES, 1, "batch", "input"), {"stage": "score"}, "batch.input.stage names an earlier batch stage"),
    (WIDE, (*STAGES, 7, "batch", "through", "stage"), "rows", "batch.through.stage names an earlier serve stage"),
    (WIDE, (*STAGES, 5, "batch", "adapters", 0, "stage"), "chat", "batch.adapters[].stage names an earlier fineTune stage"),
    (FULL, (*STAGES, 2, "serve", "models", 0, "model", "stage"), "score", "serve.models[].model.stage names an earlier fineTune stage"),
    (FULL, (*STAGES, 1, "gates", 1, "betterThan"), "tune", "gates[].betterThan is serving, base or an earlier batch stage"),
    (FULL, (*TUNE, "workers"), {"min": 2, "max": 4}, "a queue admits a fixed number of workers: set workers.count instead of min and max"),
    (WIDE, (*STAGES, 1, "ray"), {"queue": "a"}, "a queue admits a fixed number of workers: set workers.count instead of min and max"),
    (FULL, (*STAGES, 1, "gates", 0, "metric"), "regex", "a batch's gates have metrics of batch.evaluate.metrics"),
    (FULL, (*STAGES, 2, "gates"), [{"metric": "a", "min": 1}], "gates belong to stages that measure something: batch and fineTune"),
    (WIDE, (*STAGES, 1, "gates", 0), {"metric": "evalLoss", "betterThan": "base"}, "betterThan compares the rows of a batch"),
    (FULL, (*TUNE, "training", "globalBatchSize"), 30, "training.globalBatchSize is a multiple of perDeviceTrainBatchSize times workers.count"),
    (FULL, (*TUNE, "data", "validation"), ..., "training.loadBest needs data.validation or data.split"),
    (FULL, ("spec", "model", "source"), "org/name", "source begins with one of hf://, s3://, gs://, volume:, file://"),
    (FULL, (*TUNE, "data", "train", 0, "uri"), "./a.jsonl", "uri begins with one of volume:, s3://, gs://, hf://, https://, http://, file://"),
    (FULL, (*STAGES, 1, "batch", "input", "uri"), "/a.jsonl", "uri begins with one of volume:, s3://, gs://, hf://, https://, http://, file://"),
    (WIDE, (*STAGES, 6, "serve", "tracing", "endpoint"), "collector:4317", "endpoint begins with one of https://, http://"),
    (WIDE, ("spec", "storage", "uri"), "volume:a", "uri begins with one of s3://, gs://"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "at", "value", "message"), BREAKING)
def test_rule_is_broken(path: Path, at: tuple[str | int, ...], value: Any, message: str) -> None:
    assert broken_rules(edited(path, at, value)) == [message]


def test_every_rule_of_the_api_server_is_tried() -> None:
    rules = {rule.message for model in MODELS for rule in model.cel_rules}
    assert rules == {message for *_, message in BREAKING}


@pytest.mark.parametrize(("path", "at", "value", "message"), BREAKING)
def test_checks_refuse_what_the_api_server_refuses(
    path: Path, at: tuple[str | int, ...], value: Any, message: str
) -> None:
    assert validate(parse_workflow(edited(path, at, value)), local=False), message
