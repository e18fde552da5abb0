"""KubeRay's objects as the API server hands them out, reduced to what counts."""

from __future__ import annotations

from typing import Any

OWNER = {"apiVersion": "llmworkflow.io/v1alpha1", "kind": "LLMWorkflow", "name": "viggo", "uid": "w-1"}


def metadata(name: str, **more: Any) -> dict[str, Any]:
    """The metadata of a child."""
    return {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "resourceVersion": "10",
        "generation": 2,
        "labels": {
            "llmworkflow.io/workflow": "viggo",
            "llmworkflow.io/stage": "tune",
            "llmworkflow.io/revision": "1a1a",
            "llmworkflow.io/attempt": "1",
        },
        "annotations": {"llmworkflow.io/settings": "5e77", "llmworkflow.io/spec-hash": "0a0a"},
        "ownerReferences": [OWNER],
        **more,
    }


def rayjob(status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **meta: Any) -> Any:
    """A RayJob with one group of two pods with a GPU each."""
    limits = {"cpu": "4", "nvidia.com/gpu": "1"}
    group = {
        "replicas": 2,
        "template": {"spec": {"containers": [{"name": "ray-worker", "resources": {"limits": limits}}]}},
    }
    found = {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata("viggo-tune-1", **meta),
        "spec": {"rayClusterSpec": {"workerGroupSpecs": [group]}, **(spec or {})},
    }
    return found if status is None else {**found, "status": status}


def rayservice(*conditions: dict[str, Any], spec: dict[str, Any] | None = None, **status: Any) -> Any:
    """A RayService of one application."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": metadata("viggo-chat"),
        "spec": {"serveConfigV2": '{"applications": [{"name": "viggo-chat"}]}', **(spec or {})},
        "status": {"conditions": list(conditions), **status},
    }


def condition(kind: str, status: str, reason: str = "", generation: int = 2, message: str = "") -> Any:
    """A condition of a RayService."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "observedGeneration": generation,
        "message": message,
    }


def apps(state: str, message: str = "", name: str = "viggo-chat") -> dict[str, Any]:
    """What a cluster of a RayService says of its application."""
    return {"applicationStatuses": {name: {"status": state, "message": message}}}
