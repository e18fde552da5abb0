"""The reference page, from the models."""

import json
from collections.abc import Iterable, Iterator
from enum import Enum
from inspect import cleandoc
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from llmworkflow.api.fields import JsonObject, SpecModel, fields_of, mark_of, models_below
from llmworkflow.api.names import ConditionType, Explained, JobReason, PendingReason, Reason, Verb
from llmworkflow.api.spec.workflow import API_VERSION, KIND, WorkflowSpec
from llmworkflow.api.status import LLMWorkflowStatus, StageState

_INTRODUCTION = f"""# Reference

All fields of `{KIND}` (`{API_VERSION}`), of which `metadata.name` and `spec` are written by you and `status` by the
operator. `spec` is a [WorkflowSpec](#workflowspec), `status` an [LLMWorkflowStatus](#llmworkflowstatus).

A field marked *result* determines what a stage makes: changing it makes a new revision, and the stage runs again.
One marked *operational* says how, when and where the stage runs: changing it keeps what is done. Of an object marked
*result*, the fields say for themselves. A field that is null is unset.
"""

_ACTIONS = """## Actions

People act on a workflow by annotations, which the command writes for them. `<stage>@<revision>#<token>` is the value;
each token is carried out once. But in a decision the revision may be left out, and `*` is every stage: `*#1`. A
decision on an endpoint names the digest of what is to be served in its place, as the stage's message does.
"""

_ACTIONS_BY_KUBECTL = """With kubectl alone, of a workflow `approval` whose stage `score` waits for somebody's consent:

```console
WHO=$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')
WHAT=$(kubectl get llmwf approval -o jsonpath='{.status.stages[?(@.name=="score")].revision}')
kubectl annotate --overwrite llmwf approval \\
    llmworkflow.io/requested-by="$WHO" llmworkflow.io/approve="score@$WHAT#$(date +%s)"
```
"""

_PLAIN_TYPES = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "object"}
_BAR = r"\|"  # in a cell of a table
_BOUNDS = {  # JSON Schema's word, and how it is said
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "maxItems": "at most {}",
}


def page() -> str:
    """The whole page, as Markdown."""
    spec = models_below(WorkflowSpec)
    status = [model for model in models_below(LLMWorkflowStatus) if model not in spec]
    parts = [
        _INTRODUCTION,
        "## Spec\n",
        *map(_section, spec),
        "## Status\n",
        *map(_section, status),
        _ACTIONS,
        _table(("annotation", "meaning"), ((f"`{verb.annotation}`", verb.meaning) for verb in Verb)),
        _ACTIONS_BY_KUBECTL,
        *_words("StageState", "Where a stage stands.", StageState),
        *_words("Conditions", "For `kubectl wait --for=condition=...`.", ConditionType),
        *_words("Reasons", "Of stages and conditions.", Reason),
        *_words(
            "Reasons of pending pods",
            "What pods wait for; a stage that starts, or whose endpoint lost its pods, carries the reason.",
            PendingReason,
        ),
        *_words(
            "Reasons of jobs", "What a job reports when it fails, and its stage then carries.", JobReason
        ),
    ]
    return "\n".join(parts)


def _words(title: str, introduction: str, words: type[Explained]) -> Iterator[str]:
    yield f"## {title}\n"
    yield f"{introduction}\n"
    yield _table(("word", "meaning"), ((f"`{word}`", word.meaning) for word in words))


def _section(model: type[BaseModel]) -> str:
    properties = model.model_json_schema(by_alias=True, ref_template="{model}")
    schema = properties.get("$defs", {}).get(model.__name__, properties)
    rows = (_row(name, field, schema["properties"][name]) for name, field in fields_of(model))
    marked = any(mark_of(field) for _, field in fields_of(model))
    heads = ("field", "type", "default", "mark", "meaning")
    table = _table(heads, rows) if marked else _table(_unmarked(heads), map(_unmarked, rows))
    return "\n".join([f"### {model.__name__}\n", f"{cleandoc(model.__doc__ or '')}\n", table, *_rules(model)])


def _row(name: str, field: FieldInfo, schema: JsonObject) -> tuple[str, ...]:
    mark = mark_of(field)
    meaning = " ".join((field.description or "").split())
    return (f"`{name}`", _type(schema), _default(field), mark.value if mark else "", meaning)


def _unmarked(row: tuple[str, ...]) -> tuple[str, ...]:
    return (*row[:3], row[4])


def _rules(model: type[BaseModel]) -> Iterator[str]:
    rules: tuple[Any, ...] = (*model.rules, *model.cel_rules) if issubclass(model, SpecModel) else ()
    if rules:
        yield "".join(f"- {rule.message}\n" for rule in rules)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.default
    if isinstance(value, BaseModel):
        return "its own"
    if value is None:
        return "unset"
    return f"`{json.dumps(value.value if isinstance(value, Enum) else value)}`"


def _type(schema: JsonObject) -> str:
    """A type in words, with a link to the section of an object."""
    if "$ref" in schema:
        return f"[{schema['$ref']}](#{schema['$ref'].lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(item) for item in schema["anyOf"] if item.get("type") != "null")
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(f"`{choice}`" for choice in choices)
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    return f"{_plain(schema)}{_bounds(schema)}"


def _plain(schema: JsonObject) -> str:
    if schema.get("type") == "array":
        keys = schema.get("x-kubernetes-list-map-keys", [])
        return f"list of {_type(schema['items'])}{''.join(f', by {key}' for key in keys)}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_type(schema['additionalProperties'])}"
    name: str = schema.get("type", "any")
    return _PLAIN_TYPES.get(name, name)


def _bounds(schema: JsonObject) -> str:
    bounds = [words.format(schema[name]) for name, words in _BOUNDS.items() if name in schema]
    return f", {', '.join(bounds)}" if bounds else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [_line(heads), _line("---" for _ in heads), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', _BAR) for cell in cells)} |"
