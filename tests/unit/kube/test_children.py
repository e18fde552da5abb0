"""What the cache keeps of a child, and how an edit by hand is told from a controller's."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.kube.children import edited_by_hand, record_of

from .builders import apps, condition, rayjob, rayservice


def test_record_of_a_job() -> None:
    record = record_of(rayjob({"jobDeploymentStatus": "Running"}))
    assert (record.key, record.kind, record.name) == (("team", "viggo"), "RayJob", "viggo-tune-1")
    assert (record.stage, record.revision, record.attempt, record.settings) == ("tune", "1a1a", 1, "5e77")
    assert (record.owner_uid, record.owner_name, record.gpus) == ("w-1", "viggo", 2)
    assert not record.terminating
    assert not record.edited
    assert record.url is None


@pytest.mark.parametrize(
    ("resource", "count"),
    [
        ("nvidia.com/gpu", 2),
        ("amd.com/gpu", 2),
        ("nvidia.com/mig-1g.10gb", 2),
        ("google.com/tpu", 2),
        ("habana.ai/gaudi", 2),
        ("aws.amazon.com/neuroncore", 2),
        ("gpu.intel.com/i915", 2),
        ("vpc.amazonaws.com/efa", 0),
        ("hugepages-2Mi", 0),
    ],
)
def test_what_counts_as_an_accelerator(resource: str, count: int) -> None:
    child = rayjob()
    (group,) = child["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    group["replicas"] = 1
    group["template"]["spec"]["containers"][0]["resources"] = {"limits": {resource: "2"}}
    assert record_of(child).gpus == count


def test_record_of_a_service_has_its_address() -> None:
    record = record_of(rayservice(condition("Ready", "True"), activeServiceStatus=apps("RUNNING")))
    assert record.url == "http://viggo-chat-serve-svc.team.svc:8000"


def test_foreign_object_has_no_owner_and_no_attempt() -> None:
    record = record_of(rayjob(labels=None, annotations=None, ownerReferences=None))
    assert (record.workflow, record.owner_uid, record.attempt) == ("", "", None)


def test_terminating() -> None:
    assert record_of(rayjob(deletionTimestamp="2026-01-01T00:00:00Z")).terminating


def entry(manager: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": fields, **more}


SPEC = {"f:spec": {"f:entrypoint": {}}}


@pytest.mark.parametrize(
    ("fields", "edited"),
    [
        ([], False),
        ([entry("llmworkflow", SPEC)], False),
        ([entry("ray-operator", SPEC), entry("kueue", {"f:spec": {"f:suspend": {}}})], False),
        ([entry("kubectl-edit", SPEC)], True),
        ([entry("kubectl", SPEC)], True),
        ([entry("Lens", SPEC)], True),
        ([entry("kubectl-label", {"f:metadata": {"f:labels": {}}})], False),
        ([entry("kubectl", {"f:status": {}}, subresource="status")], False),
    ],
)
def test_edits_by_hand(fields: list[dict[str, Any]], edited: bool) -> None:
    assert edited_by_hand({"managedFields": fields}) is edited
