"""Revisions: every field of the spec changes them exactly if it is marked as determining the result."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from llmworkflow.api.fields import Mark, mark_of, models_below
from llmworkflow.api.spec.stage import Prefetch, Stage
from llmworkflow.api.spec.workflow import LLMWorkflow, Metadata, WorkflowSpec
from llmworkflow.api.status import Resolved
from llmworkflow.core.revision import revisions, settings

from .builders import workflow

EARLIER = ("a", "b")  # stages to which the texts below can refer
SECTIONS = ("fine_tune", "batch", "serve", "prefetch")
NEVER_ABSENT = {*SECTIONS, "ray"}  # a stage has one section; its ray is laid over the workflow's


def value_of(annotation: Any, *, changed: bool = False) -> Any:
    """A value of the type, or another one; models are filled in every field. Rules over fields are left aside."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return value_of(arguments[0], changed=changed)
    if origin in (Union, types.UnionType):
        return value_of(next(item for item in arguments if item is not type(None)), changed=changed)
    if origin is list:
        return [value_of(arguments[0], changed=changed)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return filled(annotation)
    return choices(annotation)[changed]


def choices(annotation: Any) -> tuple[Any, Any]:
    """Two values of a type without parts of its own."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)[:2]
    if get_origin(annotation) is dict:
        return {"key": "a"}, {"key": "b"}
    return {bool: (True, False), int: (7, 8), float: (7.5, 8.5), str: EARLIER, Any: EARLIER}[annotation]


def filled(model: type[BaseModel]) -> BaseModel:
    return model.model_construct(
        **{name: value_of(field.annotation) for name, field in model.model_fields.items()}
    )


@dataclass(frozen=True)
class Edit:
    """A change of one field, and whether every field on the way to it is marked as determining the result."""

    path: str
    counts: bool
    spec: Any


def edits(model: BaseModel, path: str = "spec", counts: bool = True) -> Iterator[Edit]:
    """Every change of one field of a model, or of a model below it."""
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), f"{path}.{name}"
        matters = counts and mark_of(field) is Mark.RESULT
        optional = type(None) in get_args(field.annotation)
        if optional and name not in NEVER_ABSENT:
            yield Edit(here, matters, changed(model, name, None))
        if isinstance(value, list) and value and isinstance(value[0], BaseModel):
            for position, item in enumerate(value):
                for edit in edits(item, f"{here}[{position}]", matters):
                    new = [*value[:position], edit.spec, *value[position + 1 :]]
                    yield Edit(edit.path, edit.counts, changed(model, name, new))
        elif isinstance(value, BaseModel):
            for edit in edits(value, here, matters):
                yield Edit(edit.path, edit.counts, changed(model, name, edit.spec))
        elif value is not None:
            yield Edit(here, matters, changed(model, name, value_of(field.annotation, changed=True)))


def changed(model: BaseModel, name: str, value: Any) -> BaseModel:
    return model.model_copy(update={name: value})


def full_spec() -> WorkflowSpec:
    """One stage of each kind with every field filled in, after two to refer to; only one lays its own Ray settings."""
    spec = filled(WorkflowSpec)
    whole = filled(Stage)
    sections = dict.fromkeys(SECTIONS)
    kinds = [
        whole.model_copy(update={**sections, "name": kind, kind: getattr(whole, kind), "ray": None})
        for kind in sections
    ]
    kinds[0] = kinds[0].model_copy(update={"ray": whole.ray})
    first = [Stage.model_construct(name=name, prefetch=Prefetch(), depends_on=[]) for name in EARLIER]
    return spec.model_copy(update={"stages": [*first, *kinds]})


def computed(spec: Any) -> dict[str, str]:
    return revisions(LLMWorkflow.model_construct(metadata=Metadata(name="viggo"), spec=spec), Resolved())


FULL = full_spec()
EDITS = {
    edit.path: edit for edit in edits(FULL) if not edit.path.startswith(("spec.stages[0]", "spec.stages[1]"))
}


def test_every_field_is_marked() -> None:
    unmarked = [
        f"{model.__name__}.{name}"
        for model in models_below(WorkflowSpec)
        for name, field in model.model_fields.items()
        if mark_of(field) is None
    ]
    assert unmarked == []


def test_the_walk_meets_every_field() -> None:
    met = {part.split("[")[0] for path in EDITS for part in path.split(".")}
    assert {name for model in models_below(WorkflowSpec) for name in model.model_fields} <= met


@pytest.mark.parametrize("path", list(EDITS))
def test_a_field_changes_revisions_exactly_if_it_determines_results(path: str) -> None:
    edit = EDITS[path]
    assert (computed(edit.spec) != computed(FULL)) == edit.counts


def test_fields_at_their_defaults_are_not_hashed() -> None:
    plain = workflow()
    written_out = LLMWorkflow.model_validate(plain.dump())
    assert revisions(written_out, Resolved()) == revisions(plain, Resolved())
    assert all(settings(written_out, stage) == settings(plain, stage) for stage in plain.spec.stages)


def test_the_first_scheme_never_changes() -> None:
    """Workflows that exist were hashed by it: another digest here would run all of them again."""
    assert revisions(workflow(), Resolved(hash_scheme=1)) == {
        "tune": "fea79b45125f",
        "score": "ae770af7609f",
        "chat": "68b4c0653c92",
    }


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (("model.revision", "main"), {"tune", "score", "chat"}),
        (("prompt.format", "messages"), {"tune", "score", "chat"}),
        (("ray.image", "mine:1"), {"tune", "score", "chat"}),
        (("stages.0.fineTune.training.seed", 1), {"tune", "score", "chat"}),
        (("stages.0.ray", {"image": "mine:1"}), {"tune", "score", "chat"}),
        (("stages.1.batch.sampling.maxTokens", 9), {"score"}),
        (("stages.1.ray", {"pip": ["x"]}), {"score"}),
        (("stages.2.serve.models.0.engineKwargs", {"max_model_len": 1}), {"chat"}),
        (("stages.1.dependsOn", []), set()),
        (("stages.1.gates", []), set()),
        (("stages.2.serve.models.0.replicas", {"max": 2}), set()),
    ],
)
def test_an_edit_reaches_what_reads_the_result(edit: tuple[str, Any], expected: set[str]) -> None:
    before, after = revisions(workflow(), Resolved()), revisions(workflow(edit), Resolved())
    assert {name for name in before if before[name] != after[name]} == expected


def test_ray_settings_of_a_stage_hide_the_workflows() -> None:
    own = ("stages.0.ray", {"image": "mine:1"})
    before = revisions(workflow(own), Resolved())
    after = revisions(workflow(own, ("ray.image", "other:1")), Resolved())
    assert before["tune"] == after["tune"]


def test_a_changed_input_reaches_what_names_it() -> None:
    before = revisions(workflow(), Resolved())
    after = revisions(
        workflow(), Resolved(changed={"volume:test.jsonl": "sha256:b", "volume:unknown": "sha256:c"})
    )
    assert {name for name in before if before[name] != after[name]} == {"score"}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (("ray.worker", {"memory": "64Gi"}), True),
        (("stages.2.serve.models.0.replicas", {"max": 2}), True),
        (("storage.endpoint", "https://store"), True),
        (("stages.2.retries", 7), True),
        (("stages.2.approval", {"required": True}), False),
        (("stages.2.dependsOn", ["tune"]), False),
        (("storage.retention", {"keepRevisions": 9}), False),
        (("suspend", True), False),
        (("inputs", "recheck"), False),
        (("stages.0.fineTune.training.seed", 1), False),
    ],
)
def test_settings_cover_what_shapes_the_child(edit: tuple[str, Any], expected: bool) -> None:
    before, after = workflow(), workflow(edit)
    assert (settings(before, before.spec.stages[2]) != settings(after, after.spec.stages[2])) == expected
