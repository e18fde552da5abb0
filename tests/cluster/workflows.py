"""Workflows for tests of the operator."""

from __future__ import annotations

import copy
from typing import Any

from .api import Api, condition, eventually
from .conftest import Cluster
from .supplies import claim

NAME = "viggo"
SECONDS = 240  # most of it is for a machine that is busy
BESIDE = ("ConfigMap", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

_STAGES: list[dict[str, Any]] = [
    {"name": "tune", "fineTune": {"data": {"train": [{"uri": "volume:train.jsonl"}]}}},
    {
        "name": "score",
        "batch": {
            "model": {"stage": "tune"},
            "input": {"uri": "volume:test.jsonl"},
            "evaluate": {"metrics": ["exactMatch"]},
        },
        "gates": [{"metric": "exactMatch", "min": 0.65}],
    },
    {"name": "label", "batch": {"model": {"stage": "tune"}, "input": {"uri": "volume:rest.jsonl"}}},
    {"name": "chat", "serve": {"models": [{"modelId": "viggo", "model": {"stage": "tune"}}]}},
]


def workflow(namespace: str, name: str = NAME, **spec: Any) -> dict[str, Any]:
    """Four stages, to Serving."""
    return {
        "apiVersion": "llmworkflow.io/v1alpha1",
        "kind": "LLMWorkflow",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "model": {"source": "hf://Qwen/Qwen2.5-7B-Instruct"},
            "storage": {"volume": {"claimName": "artifacts"}},
            "ray": {"accelerator": {"name": "l4"}},
            "stages": copy.deepcopy(_STAGES),
            **spec,
        },
    }


def begin(cluster: Cluster, namespace: str, name: str = NAME, **spec: Any) -> None:
    """Apply a workflow, with what it needs in its namespace, which takes in no pod with more rights than it needs."""
    if cluster.api.get("PersistentVolumeClaim", "artifacts", namespace) is None:
        cluster.api.patch("Namespace", namespace, None, {"metadata": {"labels": RESTRICTED}})
        claim(cluster.api, namespace, "artifacts")
    cluster.api.apply(workflow(namespace, name, **spec))


def wait_for(cluster: Cluster, namespace: str, kind: str, name: str = NAME, seconds: float = SECONDS) -> Any:
    """The workflow, once a condition holds."""

    def look() -> Any:
        found = cluster.api.get("LLMWorkflow", name, namespace)
        return found if found and condition(found, kind).get("status") == "True" else None

    try:
        return eventually(look, seconds, f"{namespace}/{name} is {kind}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {told(cluster.api, namespace, name)}") from None


def told(api: Api, namespace: str, name: str = NAME) -> list[str]:
    """What the status of a workflow says of its stages."""
    found = api.get("LLMWorkflow", name, namespace) or {}
    status = found.get("status", {})
    ready = condition(found, "Ready")
    return [
        f"{stage['name']} {stage['state']} {stage.get('reason')} {stage.get('message')}"
        for stage in status.get("stages", [])
    ] + [f"Ready {ready.get('status')} {ready.get('reason')} {ready.get('message')}"]


def states(api: Api, namespace: str, name: str = NAME) -> dict[str, str]:
    """The states of the stages, by name."""
    found = api.get("LLMWorkflow", name, namespace) or {}
    return {stage["name"]: stage["state"] for stage in found.get("status", {}).get("stages", [])}


def beside(api: Api, namespace: str) -> set[tuple[str, str]]:
    """Kind and name of what the operator made beside the children."""
    ours = {"app.kubernetes.io/managed-by": "llmworkflow"}
    return {(kind, item["metadata"]["name"]) for kind in BESIDE for item in api.list(kind, namespace, ours)}


def left(api: Api, namespace: str) -> list[str]:
    """Everything in a namespace that a workflow had made."""
    kinds = (
        "RayJob", "RayService", "RayCluster", "Pod", "ConfigMap", "Role", "RoleBinding", "ServiceAccount",
        "NetworkPolicy",
    )  # fmt: skip
    found = [(kind, item["metadata"]["name"]) for kind in kinds for item in api.list(kind, namespace)]
    own = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
    return [f"{kind} {name}" for kind, name in found if (kind, name) not in own]
