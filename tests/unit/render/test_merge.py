"""A user's pod template over the rendered one."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.render.errors import RenderError
from llmworkflow.render.merge import merged

CASES: dict[str, tuple[Any, Any, Any]] = {
    "a new field": ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
    "a field replaced": ({"a": 1}, {"a": 2}, {"a": 2}),
    "a field below": ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
    "null removes": ({"a": 1, "b": 2}, {"a": None}, {"b": 2}),
    "null of what is not there": ({"a": 1}, {"b": None}, {"a": 1}),
    "null below a new field": ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    "a list replaced": ({"command": ["a"]}, {"command": ["b"]}, {"command": ["b"]}),
    "tolerations added once": (
        {"tolerations": [{"key": "gpu"}]},
        {"tolerations": [{"key": "gpu"}, {"key": "spot"}]},
        {"tolerations": [{"key": "gpu"}, {"key": "spot"}]},
    ),
    "a container by name": (
        {"containers": [{"name": "ray-head", "image": "a"}]},
        {"containers": [{"name": "ray-head", "tty": True}]},
        {"containers": [{"name": "ray-head", "image": "a", "tty": True}]},
    ),
    "a sidecar after the Ray container, wherever it is written": (
        {"containers": [{"name": "ray-head"}]},
        {"containers": [{"name": "log"}, {"name": "ray-head", "tty": True}]},
        {"containers": [{"name": "ray-head", "tty": True}, {"name": "log"}]},
    ),
    "a volume with another source": (
        {"volumes": [{"name": "cache", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}]},
        {
            "volumes": [
                {"name": "cache", "ephemeral": {"x": 1}},
                {"name": "shm", "emptyDir": {"sizeLimit": "1Gi"}},
            ]
        },
        {
            "volumes": [
                {"name": "cache", "ephemeral": {"x": 1}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            ]
        },
    ),
    "a variable from elsewhere": (
        {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "value": None, "valueFrom": {"x": 1}}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"x": 1}}]}]},
    ),
    "a variable by name": (
        {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "value": "3"}]}]},
        {"containers": [{"name": "c", "env": [{"name": "A", "value": "3"}, {"name": "B", "value": "2"}]}]},
    ),
    "mounts by path": (
        {"volumeMounts": [{"mountPath": "/a", "name": "x"}]},
        {"volumeMounts": [{"mountPath": "/b", "name": "x"}]},
        {"volumeMounts": [{"mountPath": "/a", "name": "x"}, {"mountPath": "/b", "name": "x"}]},
    ),
}


@pytest.mark.parametrize(("base", "patch", "expected"), CASES.values(), ids=CASES)
def test_merged(base: Any, patch: Any, expected: Any) -> None:
    assert merged(base, patch) == expected


@pytest.mark.parametrize(("base", "patch", "expected"), CASES.values(), ids=CASES)
def test_merging_again_changes_nothing(base: Any, patch: Any, expected: Any) -> None:
    assert merged(merged(base, patch), patch) == expected


def test_an_entry_without_its_key_is_named() -> None:
    with pytest.raises(RenderError, match="in containers has no name"):
        merged({"containers": [{"name": "a"}]}, {"containers": [{"image": "b"}]})
