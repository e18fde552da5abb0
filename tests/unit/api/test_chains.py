"""A fine-tuning may start from what an earlier one made, if whole models are handed on."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.validate import validate
from llmworkflow.core.graph import ancestors

from .examples import FULL, content

DATA = {"train": [{"uri": "volume:pairs.jsonl"}]}


def chain(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Stage learn, and stage prefer that starts from what it made."""
    document = content(FULL)
    model = {"model": {"stage": "learn"}}
    document["spec"]["stages"] = [
        {"name": "learn", "fineTune": {"data": DATA} | first},
        {"name": "prefer", "dependsOn": ["learn"], "fineTune": {"data": DATA} | model | second},
    ]
    return document


MERGED = {"export": {"merge": True}}
MAKES_AN_ADAPTER = (
    'spec.stages[1].fineTune.model.stage = "learn": this stage makes an adapter, no whole model to start from'
)
WOULD_MAKE_ONE = (
    "spec.stages[1].fineTune.model: it would make an adapter on the model of stage learn, "
    "and adapters are loaded on spec.model.source"
)


@pytest.mark.capability("training-steps")
@pytest.mark.parametrize("first", [MERGED, {"method": "full"}])
def test_a_whole_model_is_started_from(first: dict[str, Any]) -> None:
    workflow = parse_workflow(chain(first, MERGED | {"objective": "dpo"}))
    assert not validate(workflow, local=False)
    assert list(ancestors(workflow.spec, workflow.spec.stages[1])) == ["learn"]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            {},
            MERGED,
            f"{MAKES_AN_ADAPTER}; set export.merge in stage learn",
        ),
        (
            MERGED,
            {},
            f"{WOULD_MAKE_ONE}; set export.merge in stage prefer",
        ),
        (
            {"engine": "llamaFactory", "config": {"stage": "sft"}},
            MERGED,
            f"{MAKES_AN_ADAPTER}; set finetuning_type: full in the config of stage learn",
        ),
    ],
)
def test_adapters_are_not_handed_on(first: dict[str, Any], second: dict[str, Any], said: str) -> None:
    assert said in [str(problem) for problem in validate(parse_workflow(chain(first, second)), local=False)]
