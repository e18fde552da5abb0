"""Workflows from texts and files: what is wrong with the form of one is said in a line, with its place."""

# ruff: noqa: E501 -- a table of whole lines

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmworkflow.api.load import load_valid_workflow, load_workflow, read_workflow_file
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.problems import InvalidWorkflow, did_you_mean

from .examples import DEMO, EXAMPLES, FULL, STARTER, content, edited

STAGES = ("spec", "stages")
TRAINING = (*STAGES, 0, "fineTune", "training")
LORA = (*STAGES, 0, "fineTune", "lora")
BATCH = (*STAGES, 1, "batch")
SERVED = (*STAGES, 2, "serve", "models")

WRONG_FORMS: list[tuple[tuple[str | int, ...], Any, str]] = [
    # unknown fields
    ((*TRAINING, "learningrate"), 1, "spec.stages[0].fineTune.training.learningrate: unknown field; did you mean learningRate?"),
    ((*TRAINING, "learning_rate"), 1, "spec.stages[0].fineTune.training.learning_rate: unknown field; did you mean learningRate?"),
    (("spec", "stage"), [], "spec.stage: unknown field; did you mean stages?"),
    (("spec", "ray", "accelerator", "zzz"), 1, "spec.ray.accelerator.zzz: unknown field; use one of count, name, nodeSelector, preferences, resource, tolerations, type"),
    (("specs",), {}, "specs: unknown field; did you mean spec?"),
    # missing fields
    (("spec", "model", "source"), ..., "spec.model.source: is required; set it"),
    (("spec", "storage"), ..., "spec.storage: is required; set it"),
    (("spec", "model", "source"), None, "spec.model.source: is required; set it"),
    ((*STAGES, 0, "name"), ..., "spec.stages[0].name: is required; set it"),
    # wrong types
    (("spec", "model", "source"), 5, "spec.model.source = 5: must be text; quote it"),
    (("spec", "model"), "hf://a/b", 'spec.model = "hf://a/b": must be an object'),
    (("spec", "stages"), {"tune": {}}, "spec.stages: must be a list"),
    (("spec", "suspend"), "true", 'spec.suspend = "true": must be true or false'),
    ((*TRAINING, "maxSteps"), 1.5, "spec.stages[0].fineTune.training.maxSteps = 1.5: must be a whole number"),
    ((*TRAINING, "maxSteps"), "10", 'spec.stages[0].fineTune.training.maxSteps = "10": must be a whole number'),
    ((*TRAINING, "maxSteps"), True, "spec.stages[0].fineTune.training.maxSteps = true: must be a whole number"),
    ((*TRAINING, "learningRate"), "1e-4", 'spec.stages[0].fineTune.training.learningRate = "1e-4": must be a number'),
    ((*LORA, "targetModules"), 5, "spec.stages[0].fineTune.lora.targetModules = 5: must be text or a list; quote it"),
    ((*LORA, "targetModules"), [5], "spec.stages[0].fineTune.lora.targetModules[0] = 5: must be text; quote it"),
    (("spec", "ray", "env"), [{"name": "A", "value": 5}], "spec.ray.env[0].value: must be text; quote it"),
    # values
    ((*LORA, "rank"), 900, "spec.stages[0].fineTune.lora.rank = 900: must be at most 512"),
    ((*LORA, "alpha"), 0, "spec.stages[0].fineTune.lora.alpha = 0: must be larger than 0"),
    ((*LORA, "dropout"), 1, "spec.stages[0].fineTune.lora.dropout = 1: must be less than 1"),
    ((*TRAINING, "maxSteps"), 0, "spec.stages[0].fineTune.training.maxSteps = 0: must be at least 1"),
    ((*TRAINING, "precision"), "bf8", 'spec.stages[0].fineTune.training.precision = "bf8": must be one of bf16, fp16 or fp32'),
    ((*STAGES, 0, "name"), "Tune", 'spec.stages[0].name = "Tune": must be lower-case letters, digits and -, beginning with a letter and not ending with -'),
    ((*STAGES, 0, "name"), "t" * 41, f'spec.stages[0].name = "{"t" * 41}": takes at most 40 characters'),
    ((*STAGES, 0, "name"), "t" * 99, f'spec.stages[0].name = "{"t" * 59}…: takes at most 40 characters'),
    (("spec", "model", "source"), "", 'spec.model.source = "": must not be empty'),
    (("spec", "ray", "worker", "memory"), "32GB", 'spec.ray.worker.memory = "32GB": must be a quantity such as 2, 500m or 16Gi'),
    (("spec", "ray", "worker", "cpu"), 0.5, "spec.ray.worker.cpu = 0.5: must be text or a whole number; quote it"),
    (("spec", "ray", "accelerator", "count"), 1.5, "spec.ray.accelerator: count is a whole number, or a fraction of one accelerator"),
    ((*SERVED,), [], "spec.stages[2].serve.models: needs at least 1 entry"),
    ((*SERVED, 0, "modelId"), "a b", 'spec.stages[2].serve.models[0].modelId = "a b": must be letters, digits, ., _, / and -, beginning with a letter or digit'),
    (("apiVersion",), "v1", 'apiVersion = "v1": must be one of llmworkflow.io/v1alpha1'),
    # rules over several fields
    ((*STAGES, 0, "serve"), {"models": [{"modelId": "a"}]}, "spec.stages[0]: set exactly one of fineTune, batch, serve, prefetch; found fineTune and serve"),
    ((*STAGES, 2, "serve"), ..., "spec.stages[2]: set exactly one of fineTune, batch, serve, prefetch; found none"),
    ((*STAGES, 1, "gates", 0, "max"), 1, "spec.stages[1].gates[0]: set exactly one of min, max, betterThan; found min and max"),
    ((*STAGES, 1, "gates", 0, "min"), ..., "spec.stages[1].gates[0]: set exactly one of min, max, betterThan; found none"),
    ((*BATCH, "input", "items"), [{"a": 1}], "spec.stages[1].batch.input: set exactly one of uri, stage, items; found uri and items"),
    (("spec", "storage", "uri"), "s3://a/b", "spec.storage: set exactly one of volume, uri; found volume and uri"),
    (("spec", "prompt", "format"), "custom", "spec.prompt: custom goes with format custom, which needs it; set custom"),
    ((*STAGES, 0, "fineTune", "workers"), {"min": 4, "max": 2}, "spec.stages[0].fineTune.workers: an elastic run needs both min and max, and min <= max"),
    ((*SERVED, 0, "replicas", "min"), 3, "spec.stages[2].serve.models[0].replicas: min must not be larger than max"),
    # lists that are maps
    ((*STAGES, 1, "name"), "tune", 'spec.stages[1].name = "tune": spec.stages[0] has this name already; choose another'),
    (("spec", "ray", "env"), [{"name": "A"}, {"name": "A"}], "spec.ray.env[1].name: spec.ray.env[0] has this name already; choose another"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "value", "line"), WRONG_FORMS)
def test_wrong_form(at: tuple[str | int, ...], value: Any, line: str) -> None:
    with pytest.raises(InvalidWorkflow) as raised:
        parse_workflow(edited(FULL, at, value))
    assert str(raised.value).splitlines() == [line]


def test_every_problem_is_told() -> None:
    document = edited(FULL, (*LORA, "rank"), 0)
    document["spec"]["model"]["sauce"] = "hf://a/b"
    with pytest.raises(InvalidWorkflow) as raised:
        parse_workflow(document)
    assert [problem.field for problem in raised.value.problems] == [
        "spec.model.sauce",
        "spec.stages[0].fineTune.lora.rank",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("local", [True, False], ids=["local", "cluster"])
def test_examples_are_valid(path: Path, local: bool) -> None:
    assert load_valid_workflow(path, local=local).spec.stages


def test_starter_is_for_this_machine() -> None:
    assert load_valid_workflow(STARTER, local=True).metadata.name == "my-workflow"
    with pytest.raises(InvalidWorkflow, match="a path of one machine means nothing on a cluster"):
        load_valid_workflow(STARTER, local=False)


def test_problem_has_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(DEMO.read_text().replace("rank: 8", "rank: 0"))
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if "rank: 0" in text)
    with pytest.raises(InvalidWorkflow) as raised:
        load_workflow(file)
    assert str(raised.value) == f"{file}:{line}: spec.stages[1].fineTune.lora.rank = 0: must be at least 1"


def test_problem_of_the_whole_has_its_line() -> None:
    file = read_workflow_file(DEMO.read_text().replace("metric: exactMatch", "metric: exactmatch"))
    line = file.document.line_of((*STAGES, 2, "gates", 0, "metric"))
    with pytest.raises(InvalidWorkflow, match=f'^line {line}: .* = "exactmatch": '):
        file.check(local=True)


def test_other_kinds_are_passed_over() -> None:
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: demo}\n---\n"
    assert load_workflow(claim + DEMO.read_text()).metadata.name == "demo"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "holds no LLMWorkflow; set apiVersion: llmworkflow.io/v1alpha1 and kind: LLMWorkflow"),
        ("- a", "holds no LLMWorkflow; set apiVersion: llmworkflow.io/v1alpha1 and kind: LLMWorkflow"),
        (
            "kind: LLMWorkFlow",
            "holds no LLMWorkflow, but LLMWorkFlow; set apiVersion: llmworkflow.io/v1alpha1 and kind: LLMWorkflow",
        ),
        ("kind: LLMWorkflow", "line 1: apiVersion: is required; set it to llmworkflow.io/v1alpha1"),
        (
            "a: [",
            "line 1: not readable as YAML: expected the node content, but found '<stream end>' (column 5)",
        ),
        (
            "{kind: LLMWorkflow, metadata: {name: a}}\n---\n{kind: LLMWorkflow, metadata: {name: b}}",
            "holds several workflows (a, b); give each a file of its own",
        ),
    ],
)
def test_file_without_one_workflow(text: str, line: str) -> None:
    with pytest.raises(InvalidWorkflow) as raised:
        load_workflow(text)
    assert str(raised.value) == line


def test_null_is_unset() -> None:
    document = edited(FULL, ("spec", "suspend"), None)
    assert parse_workflow(document) == parse_workflow(edited(FULL, ("spec", "suspend"), ...))


def test_values_of_secrets_are_not_told() -> None:
    document = edited(FULL, ("spec", "ray", "env"), [{"name": "A", "value": 271828}])
    with pytest.raises(InvalidWorkflow) as raised:
        parse_workflow(document)
    assert "271828" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("word", "known", "remedy"),
    [
        ("exactmatch", ["exactMatch", "regex"], "did you mean exactMatch?"),
        ("zzz", ["b", "a"], "use one of a, b"),
        ("zzz", [], ""),
    ],
)
def test_did_you_mean(word: str, known: list[str], remedy: str) -> None:
    assert did_you_mean(word, known) == remedy


def test_written_form_is_what_was_written() -> None:
    document = content(DEMO)
    assert parse_workflow(document).written() == document
