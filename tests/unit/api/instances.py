"""Instances of one model at a time, made from its own schema: what it holds in turn is as small as it can be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from llmworkflow.api.fields import SpecModel, fields_of, models_in
from llmworkflow.api.schema import structural_schema

JSON = dict[str, Any]
_QUANTITIES = [2, "500m", "16Gi"]
Held = type[SpecModel] | None  # the model that a field holds
Values = st.SearchStrategy[Any]
_ASCII = st.characters(min_codepoint=33, max_codepoint=126)
_WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)


def contents(model: type[SpecModel]) -> st.SearchStrategy[JSON]:
    """JSON of the model: required fields and any of the others, each within its own bounds; rules may be broken."""
    schema = structural_schema(model)
    fields = {
        name: _values(schema["properties"][name], _held(field.annotation)) for name, field in fields_of(model)
    }
    required = {name: fields[name] for name in schema.get("required", [])}
    optional = {name: values for name, values in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def valid_contents(model: type[SpecModel]) -> st.SearchStrategy[JSON]:
    """JSON of the model that breaks no rule: of the drawn fields, those that can be added to the smallest instance."""
    return contents(model).map(lambda drawn: _as_far_as_valid(model, drawn))


def _as_far_as_valid(model: type[SpecModel], drawn: JSON) -> JSON:
    content = dict(smallest(model))
    for name, value in drawn.items():
        if is_valid(model, content | {name: value}):
            content[name] = value
    return content


@cache
def smallest(model: type[SpecModel]) -> JSON:
    """JSON of the model with as few fields as its rules allow."""
    schema = structural_schema(model)
    fields = {
        name: _smallest_value(schema["properties"][name], _held(field.annotation))
        for name, field in fields_of(model)
    }
    required = set(schema.get("required", []))
    for chosen in _few(sorted(set(fields) - required)):
        content = {name: fields[name] for name in fields if name in required or name in chosen}
        if is_valid(model, content):
            return content
    raise AssertionError(f"{model.__name__} has no instance with two optional fields or fewer")


def is_valid(model: type[SpecModel], content: JSON) -> bool:
    """Whether the model takes the content."""
    try:
        model.model_validate(content, strict=True, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True


def _few(names: list[str]) -> Iterator[tuple[str, ...]]:
    for size in range(3):
        yield from combinations(names, size)


def _held(annotation: Any) -> Held:
    return next((model for model in models_in(annotation) if issubclass(model, SpecModel)), None)


def _values(schema: JSON, held: Held) -> Values:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return st.sampled_from(_QUANTITIES)
    by_type = {
        "object": _objects,
        "array": _lists,
        "integer": _integers,
        "number": _numbers,
        "boolean": _booleans,
        "string": _texts,
        None: _texts_or_lists,
    }
    return by_type[schema.get("type")](schema, held)


def _objects(schema: JSON, held: Held) -> Values:
    if held:
        return st.just(smallest(held))
    values = _values(schema["additionalProperties"], None) if "additionalProperties" in schema else _WORDS
    return st.dictionaries(_WORDS, values, max_size=2)


def _lists(schema: JSON, held: Held) -> Values:
    items = (
        contents(held).filter(lambda content: is_valid(held, content))
        if held
        else _values(schema["items"], None)
    )
    keys = schema.get("x-kubernetes-list-map-keys")
    unique_by = (lambda item: item[keys[0]]) if keys else None
    return st.lists(items, min_size=schema.get("minItems", 0), max_size=2, unique_by=unique_by)


def _integers(schema: JSON, _: Held) -> Values:
    return st.integers(schema.get("minimum", -9), min(schema.get("maximum", 99), 99))


def _numbers(schema: JSON, _: Held) -> Values:
    return st.floats(
        schema.get("minimum", -9),
        min(schema.get("maximum", 99), 99),
        exclude_min=schema.get("exclusiveMinimum", False),
        exclude_max=schema.get("exclusiveMaximum", False),
        allow_subnormal=False,
    )


def _booleans(_schema: JSON, _: Held) -> Values:
    return st.booleans()


def _texts(schema: JSON, _: Held) -> Values:
    if "pattern" not in schema:
        return _WORDS
    pattern = schema["pattern"].replace("$", r"\Z")
    return st.from_regex(pattern, alphabet=_ASCII).filter(lambda text: len(text) <= 8)


def _texts_or_lists(_schema: JSON, _: Held) -> Values:
    return _WORDS | st.lists(_WORDS, min_size=1, max_size=2)


def _smallest_value(schema: JSON, held: Held) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return smallest(held) if held else {}
        case "array":
            item = smallest(held) if held else _smallest_value(schema["items"], None)
            return [item] * schema.get("minItems", 0)
        case "integer" | "number":
            low = schema.get("minimum", 0)
            return (low + schema.get("maximum", low + 2)) / 2 if schema.get("exclusiveMinimum") else low
        case "boolean":
            return False
    return "/a" if schema.get("pattern", "").startswith("^/") else "a"
