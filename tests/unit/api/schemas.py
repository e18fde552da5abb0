"""A structural schema as JSON Schema, so that a library can hold objects against it as the API server would."""

from __future__ import annotations

from typing import Any

_NOT_TRANSLATED = ("properties", "items", "additionalProperties", "exclusiveMinimum", "exclusiveMaximum")


def as_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with kubectl's strict validation: what it does not name is refused."""
    result = {
        name: value
        for name, value in schema.items()
        if name not in _NOT_TRANSLATED and not name.startswith("x-")
    }
    if schema.get("x-kubernetes-int-or-string"):
        result["type"] = ["integer", "string"]
    for bound in ("minimum", "maximum"):
        if schema.get(f"exclusive{bound.capitalize()}"):
            result[f"exclusive{bound.capitalize()}"] = result.pop(bound)
    if "properties" in schema:
        result["properties"] = {name: as_json_schema(field) for name, field in schema["properties"].items()}
        result["additionalProperties"] = False
    for name in ("items", "additionalProperties"):
        if name in schema:
            result[name] = as_json_schema(schema[name])
    return result


def with_defaults(schema: dict[str, Any], value: Any) -> Any:
    """The value with nulls taken out and defaults filled in, as the API server does before anything else."""
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), item) for item in value]
    if not isinstance(value, dict) or "properties" not in schema:
        return value
    present = {name: item for name, item in value.items() if item is not None}
    defaults = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
    return {
        name: with_defaults(schema["properties"].get(name, {}), item)
        for name, item in (defaults | present).items()
    }


def walk(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every schema below a schema, with its path."""
    found = [(path, schema)]
    for name, field in schema.get("properties", {}).items():
        found += walk(field, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            found += walk(schema[name], f"{path}[]")
    return found
