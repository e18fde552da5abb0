"""Workflows and work to render, and ways to look into what came of it."""

from __future__ import annotations

from typing import Any

from llmworkflow.api.names import ANNOTATION_CONFIG
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Artifact
from llmworkflow.core.actions import CreateChild, Input, Work
from llmworkflow.render.manifests import render
from llmworkflow.render.settings import JobCode, Settings

from .kuberay import assert_valid

CODE = JobCode("c0de", "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==")

TUNED = Input(
    "tune",
    "fineTune",
    "1a1a1a1a1a1a",
    1,
    Artifact(uri="file:///s/default/viggo/tune/1a1a1a1a1a1a/1", digest="sha256:11", type="adapter"),
)
SCORED = Input(
    "score",
    "batch",
    "2b2b2b2b2b2b",
    1,
    Artifact(uri="file:///s/default/viggo/score/2b2b2b2b2b2b/1", digest="sha256:22", type="rows"),
)

STAGES: dict[str, Any] = {
    "tune": {"fineTune": {"data": {"train": [{"uri": "volume:train.jsonl"}]}}},
    "score": {"batch": {"model": {"stage": "tune"}, "input": {"uri": "volume:test.jsonl"}}},
    "chat": {"serve": {"models": [{"modelId": "viggo", "model": {"stage": "tune"}}]}},
}
WORK = {
    "tune": Work("tune", "fineTune", "1a1a1a1a1a1a", 1, settings="5e77"),
    "score": Work("score", "batch", "2b2b2b2b2b2b", 1, inputs={"tune": TUNED}),
    "chat": Work("chat", "serve", "3c3c3c3c3c3c", 1, inputs={"tune": TUNED, "score": SCORED}, replay="score"),
}


def merged(base: Any, change: Any) -> Any:
    """`change` over `base`, objects by key."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: merged(base.get(key), value) for key, value in change.items()}
    return change


def make_workflow(*, stages: dict[str, Any] | None = None, **spec: Any) -> LLMWorkflow:
    """The workflow of tune, score and chat on L4s, with changes by stage and by field of the spec."""
    changed = merged(STAGES, stages or {})
    base = {
        "model": {"source": "hf://org/model"},
        "storage": {"volume": {"claimName": "artifacts"}},
        "ray": {"accelerator": {"name": "l4"}},
    }
    content = {
        "apiVersion": "llmworkflow.io/v1alpha1",
        "kind": "LLMWorkflow",
        "metadata": {"name": "viggo", "namespace": "team", "uid": "8a0e6b1c"},
        "spec": {**base, **spec, "stages": [{"name": name, **stage} for name, stage in changed.items()]},
    }
    return LLMWorkflow.model_validate(content)


def rendered(
    workflow: LLMWorkflow, stage: str, settings: Settings | None = None, work: Work | None = None
) -> list[dict[str, Any]]:
    """All manifests of a stage; the child is the last."""
    kind = "RayService" if stage == "chat" else "RayJob"
    action = CreateChild(kind, f"viggo-{stage}", work or WORK[stage])
    return render(workflow, action, settings or Settings(), CODE)


def cluster_of(child: dict[str, Any]) -> dict[str, Any]:
    """The spec of the child's Ray cluster."""
    found: dict[str, Any] = child["spec"].get("rayClusterSpec") or child["spec"]["rayClusterConfig"]
    return found


def pod_of(child: dict[str, Any], group: str = "workers") -> dict[str, Any]:
    """The spec of the pods of a group, or of the head."""
    cluster = cluster_of(child)
    groups = {spec["groupName"]: spec for spec in cluster["workerGroupSpecs"]}
    template = (cluster["headGroupSpec"] if group == "head" else groups[group])["template"]
    found: dict[str, Any] = template["spec"]
    return found


def config_of(child: dict[str, Any]) -> str:
    """What the pods of a child are told."""
    templates = [group["template"] for group in cluster_of(child)["workerGroupSpecs"]]
    (found,) = {template["metadata"]["annotations"][ANNOTATION_CONFIG] for template in templates}
    return str(found)


def env_of(pod: dict[str, Any]) -> dict[str, Any]:
    """Variables of the Ray container, by name: their value, or where it comes from."""
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in pod["containers"][0]["env"]}


def child_of(stage: str, settings: Settings | None = None, **spec: Any) -> dict[str, Any]:
    """The child of a stage, which KubeRay's schema takes."""
    child = rendered(make_workflow(**spec), stage, settings)[-1]
    assert_valid(child)
    return child


def group_of(child: dict[str, Any], name: str = "workers") -> dict[str, Any]:
    """A worker group."""
    (found,) = [group for group in cluster_of(child)["workerGroupSpecs"] if group["groupName"] == name]
    return dict(found)


def kinds(manifests: list[dict[str, Any]]) -> list[str]:
    """The kinds of manifests, in order."""
    return [manifest["kind"] for manifest in manifests]
