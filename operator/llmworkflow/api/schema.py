"""The models as a structural schema: what CRD, reference page and spelling hints are made from.

pydantic's JSON schema says everything that is needed; Kubernetes wants it without references, without null and in
OpenAPI's dialect: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.problems import Path
from llmworkflow.api.spec.workflow import LLMWorkflow

_DROPPED = frozenset({"title", "const", "$ref", "anyOf", "exclusiveMinimum", "exclusiveMaximum"})


@cache
def structural_schema(model: type[BaseModel]) -> JsonObject:
    """The structural schema of a model. Treat it as read-only: it is shared."""
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def known_fields(path: Path) -> list[str]:
    """Names of the fields of the object at a path of the resource; none where any name is allowed."""
    schema = structural_schema(LLMWorkflow)
    for part in path:
        schema = _step(schema, part)
    return list(schema.get("properties", {}))


def _step(schema: JsonObject, part: str | int) -> JsonObject:
    if isinstance(part, int):
        items: JsonObject = schema.get("items", {})
        return items
    return schema.get("properties", {}).get(part) or schema.get("additionalProperties") or {}


def _structural(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    schema = _resolved(schema, definitions)
    result = {name: value for name, value in schema.items() if name not in _DROPPED and name != "$defs"}
    if "const" in schema:
        result["enum"] = [schema["const"]]
    result.update(_exclusive_bounds(schema))
    if "properties" in schema:
        result["properties"] = {
            name: _structural(field, definitions) for name, field in schema["properties"].items()
        }
        result.pop("additionalProperties", None)
    elif result.pop("additionalProperties", None) is True:
        result["x-kubernetes-preserve-unknown-fields"] = True
    for name in ("items", "additionalProperties"):
        if name in schema and isinstance(schema[name], dict):
            result[name] = _structural(schema[name], definitions)
    return _with_useful_default(result)


def _resolved(schema: JsonObject, definitions: JsonObject) -> JsonObject:
    """The schema with its reference, or the one alternative beside null, in its place; its own words win."""
    own = {name: value for name, value in schema.items() if name not in ("$ref", "anyOf")}
    if "$ref" in schema:
        target = definitions[schema["$ref"].removeprefix("#/$defs/")]
        return _resolved(target, definitions) | own
    if "anyOf" in schema:
        alternatives = [item for item in schema["anyOf"] if item.get("type") != "null"]
        if len(alternatives) == 1:
            return _resolved(alternatives[0], definitions) | own
        # of several types: a structural schema cannot say more
        return {"x-kubernetes-preserve-unknown-fields": True} | own
    return schema


def _exclusive_bounds(schema: JsonObject) -> Iterator[tuple[str, Any]]:
    for name in ("minimum", "maximum"):
        exclusive = f"exclusive{name.capitalize()}"
        if exclusive in schema:
            yield name, schema[exclusive]
            yield exclusive, True


def _with_useful_default(schema: JsonObject) -> JsonObject:
    """Defaults of objects are those of their fields; an empty list or nothing is no default worth storing.

    A rule is checked against the default alone, before those of the fields are filled in: there it is written out.
    """
    default = schema.pop("default", None)
    if "properties" in schema and default is not None:
        has_rules = "x-kubernetes-validations" in schema
        schema["default"] = {
            name: value
            for name, value in default.items()
            if has_rules and isinstance(value, str | int | float)
        }
    elif default not in (None, [], {}):
        schema["default"] = default
    return schema
