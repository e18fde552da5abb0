"""What people decide and gates refuse, and what cannot be scheduled, with real pods."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.cluster.api import condition, eventually

from .cluster import Pods
from .demo import CLAIM, demo_files, demo_workflow, stage, stages, wait_for

SECONDS = 300
DIAGNOSIS_SECONDS = 60


@pytest.fixture(scope="module")
def namespace(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace with the demo's data."""
    name = pods.make_namespace()
    pods.make_volume(name, CLAIM, demo_files(tmp_path_factory.mktemp("demo")))
    return name


def test_a_gpu_that_no_node_has_is_named_within_a_minute(pods: Pods, namespace: str) -> None:
    workflow = stages(demo_workflow(namespace), "base", ray={"accelerator": {"name": "h100"}})
    workflow["metadata"]["name"] = "card"
    began = time.monotonic()
    pods.api.create(workflow)

    def named() -> dict[str, Any] | None:
        found = pods.api.get("LLMWorkflow", "card", namespace) or {}
        told = [
            item for item in found.get("status", {}).get("stages", []) if "nvidia.com/gpu" in (item.get("message") or "")
        ]
        return told[0] if told else None

    told = eventually(named, DIAGNOSIS_SECONDS, "the missing GPU is named")
    print(f"after {time.monotonic() - began:.1f} s: {told['reason']}: {told['message']}")
    assert told["state"] == "Starting"
    pods.api.delete("LLMWorkflow", "card", namespace)
    eventually(lambda: not pods.api.list("RayCluster", namespace), SECONDS, "its pods are gone")


def test_a_stage_is_suspended_resumed_approved_and_then_refused_by_a_gate(pods: Pods, namespace: str) -> None:
    workflow = stages(demo_workflow(namespace), "base", suspend=True)
    (base,) = workflow["spec"]["stages"]
    base["approval"] = {"required": True}
    refused = {
        **base,
        "name": "again",
        "dependsOn": ["base"],
        "gates": [{"metric": "exactMatch", "min": 0.9}],
    }
    del refused["approval"]
    workflow["metadata"]["name"] = "people"
    workflow["spec"]["stages"].append(refused)
    pods.api.create(workflow)
    eventually(lambda: state(pods, namespace) == "Queued", 60, "it is suspended")
    assert not pods.api.list("RayJob", namespace)
    pods.api.patch("LLMWorkflow", "people", namespace, {"spec": {"suspend": False}})
    eventually(lambda: state(pods, namespace) == "AwaitingApproval", SECONDS, "the base waits for a person")
    found = pods.api.get("LLMWorkflow", "people", namespace) or {}
    approval = f"base@{stage(found, 'base')['revision']}#now"
    notes = {"llmworkflow.io/approve": approval, "llmworkflow.io/requested-by": pods.user}
    pods.api.patch("LLMWorkflow", "people", namespace, {"metadata": {"annotations": notes}})

    ended = wait_for(pods, namespace, "Failed", "people")

    assert stage(ended, "base")["state"] == "Succeeded"
    assert stage(ended, "again")["state"] == "Failed"
    assert condition(ended, "Failed")["reason"] == "GateNotMet"
    assert not pods.api.list("RayJob", namespace)


def state(pods: Pods, namespace: str) -> str:
    """The state of the first stage."""
    found = pods.api.get("LLMWorkflow", "people", namespace) or {}
    told = found.get("status", {}).get("stages", [])
    return told[0]["state"] if told else ""
