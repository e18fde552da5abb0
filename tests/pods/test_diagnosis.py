"""What cannot be scheduled is told, with what to do about it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.cluster.api import eventually
from tests.cluster.supplies import claim

from .cluster import Pods
from .demo import CLAIM, demo_workflow, stages

DIAGNOSIS_SECONDS = 60
NAME = "card"


@pytest.mark.capability("pending")
def test_a_gpu_that_no_node_has_is_named_within_a_minute(pods: Pods) -> None:
    namespace = pods.make_namespace()
    claim(pods.api, namespace, CLAIM)
    workflow = stages(demo_workflow(namespace), "base", ray={"accelerator": {"name": "h100"}})
    workflow["metadata"]["name"] = NAME
    began = time.monotonic()
    pods.api.create(workflow)

    def named() -> dict[str, Any] | None:
        found = pods.api.get("LLMWorkflow", NAME, namespace) or {}
        told = found.get("status", {}).get("stages", [])
        return next((item for item in told if "nvidia.com/gpu" in (item.get("message") or "")), None)

    told = eventually(named, DIAGNOSIS_SECONDS, "the missing GPU is named")
    print(f"after {time.monotonic() - began:.1f} s: {told['reason']}: {told['message']}")
    assert (told["state"], told["reason"]) == ("Starting", "AcceleratorUnavailable")
    assert "choose another accelerator, or add such a node" in told["message"]
    pods.api.delete("LLMWorkflow", NAME, namespace)
    eventually(lambda: not pods.api.list("RayCluster", namespace), 60, "its pods are gone")
