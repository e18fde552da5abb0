"""Manifests as KubeRay's API takes them, by the schemas that it installs, under strict field validation."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

SCHEMAS = Path(__file__).parents[2] / "data" / "kuberay-v1.6.2"


def assert_valid(manifest: dict[str, Any]) -> None:
    """Fail with the path of everything that KubeRay's schema refuses."""
    errors = validator(manifest["kind"]).iter_errors(manifest)
    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []


@cache
def validator(kind: str) -> Any:
    """A validator that refuses what the API server refuses."""
    taken = schema(kind)
    taken["properties"]["metadata"] = {}  # the same for every resource, and no part of this schema
    checks = {"x-kubernetes-list-map-keys": _unique_by_keys}
    return jsonschema.validators.extend(jsonschema.Draft202012Validator, checks)(_closed(taken))


def schema(kind: str) -> dict[str, Any]:
    """What KubeRay's definition of a kind says of its version v1."""
    found: dict[str, Any] = json.loads(gzip.decompress((SCHEMAS / f"{kind.lower()}s.json.gz").read_bytes()))
    return found


def _closed(schema: Any) -> Any:
    """A structural schema as a JSON schema whose objects take no unknown fields."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") is True:
        return {"type": ["integer", "string"]}
    found = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return found


def _unique_by_keys(
    _: Any, keys: list[str], entries: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    defaults = {key: schema["items"]["properties"][key].get("default") for key in keys}
    seen = [tuple(entry.get(key, defaults[key]) for key in keys) for entry in entries]
    if len(set(seen)) < len(seen):
        yield jsonschema.ValidationError(f"entries are not unique by {', '.join(keys)}: {seen}")
