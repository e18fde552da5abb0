"""Revisions: digests of what determines a stage's result, and of nothing else."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from llmworkflow.api.fields import JsonObject, Mark, mark_of
from llmworkflow.api.spec.common import RaySettings
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow, WorkflowSpec
from llmworkflow.api.status import Resolved
from llmworkflow.core.graph import references

_DIGITS = 12  # hexadecimal digits of a digest: a workflow has few revisions
_NOT_SETTINGS = {"name", "depends_on", "gates", "approval"}  # of a stage: they shape no child
_SHARED_SETTINGS = {"model", "prompt", "storage", "ray"}  # of the workflow: they shape every child
_SET_FIELDS: Any = {"mode": "json", "by_alias": True, "exclude_defaults": True}


def digest(value: Any) -> str:
    """A short digest of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def revisions(workflow: LLMWorkflow, resolved: Resolved) -> dict[str, str]:
    """The revision of every stage, by the hash scheme that the status pins.

    Raises:
        KeyError: the status was written by a newer version that hashes differently.
    """
    revision = _SCHEMES[resolved.hash_scheme]
    found: dict[str, str] = {}
    for stage in workflow.spec.stages:
        found[stage.name] = revision(workflow.spec, stage, resolved.changed, found)
    return found


def result_fields(spec: WorkflowSpec, stage: Stage) -> JsonObject:
    """The fields that determine the stage's result and differ from their defaults."""
    return {
        "model": _marked(spec.model),
        "prompt": _marked(spec.prompt),
        "ray": _marked(_chosen_ray(spec.ray, stage.ray)),
        stage.kind: _marked(stage.work),
    }


def settings(workflow: LLMWorkflow, stage: Stage) -> str:
    """Digest of every field that shapes the stage's child or limits its attempts, defaults aside."""
    shared = workflow.spec.model_dump(
        include=_SHARED_SETTINGS, exclude={"storage": {"retention"}}, **_SET_FIELDS
    )
    own = stage.model_dump(exclude=_NOT_SETTINGS, **_SET_FIELDS)
    return digest({"shared": shared, "stage": own})


def _first_scheme(
    spec: WorkflowSpec, stage: Stage, changed: Mapping[str, str], earlier: Mapping[str, str]
) -> str:
    fields = result_fields(spec, stage)
    named = set(texts(fields))
    return digest(
        {
            "stage": stage.name,
            "fields": fields,
            "changed": {uri: found for uri, found in changed.items() if uri in named},
            "inputs": {name: earlier[name] for name in references(stage)},
        }
    )


_Scheme = Callable[[WorkflowSpec, Stage, Mapping[str, str], Mapping[str, str]], str]
_SCHEMES: Mapping[int, _Scheme] = {1: _first_scheme}


def texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def _chosen_ray(common: RaySettings, own: RaySettings | None) -> RaySettings:
    """What a stage sets wins over what the workflow sets, as in rendering."""
    if own is None:
        return common
    return common.model_copy(update=own.given())


def _marked(value: Any) -> Any:
    """JSON of the fields that determine the result and are not at their defaults."""
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if not isinstance(value, BaseModel):
        return value
    found = {}
    for field in _result_fields_of(type(value)):
        item = _marked(getattr(value, field.name))
        if field.required or item != field.default:
            found[field.alias] = item
    return found


@dataclass(frozen=True)
class _ResultField:
    name: str
    alias: str
    required: bool
    default: Any  # in the form of `_marked`


@cache
def _result_fields_of(model: type[BaseModel]) -> tuple[_ResultField, ...]:
    """The fields of a model that determine the result; a plan asks for them again and again."""
    return tuple(
        _ResultField(name, field.alias or name, field.is_required(), _marked(field.default))
        for name, field in model.model_fields.items()
        if mark_of(field) is Mark.RESULT
    )
