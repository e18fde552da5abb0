"""What a pending child waits for, told from pods, events and nodes."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.names import PendingReason as R
from llmworkflow.kube.diagnose import Evidence, diagnose, of_refusal

L4 = {"nvidia.com/gpu.product": "NVIDIA-L4"}


def pod(
    unschedulable: str | None = None, waiting: dict[str, str] | None = None, gpus: int = 1, **spec: Any
) -> dict[str, Any]:
    limits = {"cpu": "4"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    container = {"name": "ray-worker", "image": "jobs:1", "resources": {"limits": limits}}
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [container], **spec},
        "status": {
            "phase": "Pending",
            "conditions": [told] if unschedulable is not None else [],
            "containerStatuses": [{"state": {"waiting": waiting}}] if waiting else [],
        },
    }


def node(gpus: int, **labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}, "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}}}


def tainted(key: str, value: str) -> dict[str, Any]:
    return node(4) | {"spec": {"taints": [{"key": key, "value": value, "effect": "NoSchedule"}]}}


def event(reason: str, message: str, name: str = "p") -> dict[str, Any]:
    return {"involvedObject": {"name": name}, "reason": reason, "message": message}


def claim(phase: str) -> dict[str, Any]:
    return {"metadata": {"name": "artifacts"}, "status": {"phase": phase}}


CLAIMED = {"volumes": [{"name": "storage", "persistentVolumeClaim": {"claimName": "artifacts"}}]}
FULL = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
TAINTED = "0/2 nodes are available: 2 node(s) had untolerated taint {team: other}."
UNNAMED = "0/2 nodes are available: 2 node(s) had untolerated taint(s)."
PULL = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "jobs:1"'}
UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."

CASES: dict[str, tuple[Evidence, R, str]] = {
    "no node has such an accelerator": (
        Evidence([pod(FULL, nodeSelector=L4)], nodes=[node(8), node(0, **L4)]),
        R.NO_ACCELERATOR,
        "pod p needs 1 nvidia.com/gpu and no node with nvidia.com/gpu.product=NVIDIA-L4 has any",
    ),
    "no node has so many": (
        Evidence([pod(FULL, gpus=8)], nodes=[node(4), node(2)]),
        R.NO_ACCELERATOR,
        "nodes have at most 4; ask for fewer",
    ),
    "all are in use": (
        Evidence([pod(FULL)], nodes=[node(4), node(2)]),
        R.ACCELERATORS_IN_USE,
        "nodes have 6 and others use them",
    ),
    "a taint": (
        Evidence([pod(TAINTED)], nodes=[node(4)]),
        R.TAINT,
        "does not tolerate the taint team: other",
    ),
    "a taint that the scheduler does not name": (
        Evidence([pod(UNNAMED)], nodes=[tainted("team", "other")]),
        R.TAINT,
        "does not tolerate the taint team=other:NoSchedule of the nodes it fits",
    ),
    "a taint that may not be seen": (Evidence([pod(UNNAMED)]), R.UNSCHEDULABLE, UNNAMED),
    "nodes that may not be seen": (Evidence([pod(FULL)]), R.UNSCHEDULABLE, FULL),
    "something else": (
        Evidence([pod("0/1 nodes are available: 1 Insufficient cpu.", gpus=0)], nodes=[node(0)]),
        R.UNSCHEDULABLE,
        "Insufficient cpu",
    ),
    "the image": (
        Evidence([pod(waiting=PULL)], events=[event("Failed", 'Failed to pull "jobs:1": not found')]),
        R.IMAGE,
        'cannot pull jobs:1: Failed to pull "jobs:1": not found; check ray.image',
    ),
    "a Secret": (
        Evidence([pod(waiting={"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'})]),
        R.SECRET_MISSING,
        "needs Secret hf, which is not there; create it",
    ),
    "a ConfigMap that is mounted": (
        Evidence([pod()], events=[event("FailedMount", 'MountVolume: configmap "team/code" not found')]),
        R.SECRET_MISSING,
        "needs ConfigMap code",
    ),
    "a key of a Secret": (
        Evidence([pod(waiting={"message": "couldn't find key token in Secret team/hf"})]),
        R.SECRET_MISSING,
        "needs key token of Secret hf",
    ),
    "a claim that is not there": (
        Evidence([pod('persistentvolumeclaim "artifacts" not found', **CLAIMED)]),
        R.CLAIM_MISSING,
        "needs PersistentVolumeClaim artifacts, which is not there; create it",
    ),
    "a claim without a volume": (
        Evidence([pod(UNBOUND, **CLAIMED)], claims=[claim("Pending")]),
        R.CLAIM_PENDING,
        "PersistentVolumeClaim artifacts is Pending",
    ),
    "a claim for one pod": (
        Evidence(
            [pod("node has pod using PersistentVolumeClaim with ReadWriteOncePod access mode", **CLAIMED)],
            claims=[claim("Bound") | {"spec": {"accessModes": ["ReadWriteOncePod"]}}],
        ),
        R.CLAIM_IN_USE,
        "PersistentVolumeClaim artifacts is for one pod (ReadWriteOncePod), which has it; use a claim of",
    ),
    "a volume that one node has": (
        Evidence(
            [pod(**CLAIMED)],
            events=[event("FailedAttachVolume", "Multi-Attach error for volume")],
            claims=[claim("Bound")],
        ),
        R.VOLUME,
        "ReadWriteMany",
    ),
    "a container that does not stay up": (
        Evidence([pod(waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s"})]),
        R.CRASHING,
        "CrashLoopBackOff: back-off 10s",
    ),
    "a quota, which lets no pod be made": (
        Evidence(events=[event("FailedToCreateHeadPod", "is forbidden: exceeded quota: gpus, requested: 1")]),
        R.QUOTA,
        "exceeded quota: gpus, requested: 1; raise the quota",
    ),
    "a service account that is not there": (
        Evidence(events=[event("Failed", 'looking up service account a/b: serviceaccount "b" not found')]),
        R.ACCOUNT_MISSING,
        "ServiceAccount b is not there; create it, or correct ray.serviceAccountName",
    ),
    "a pod that the API server cannot take": (
        Evidence(events=[event("FailedToCreateWorkerPod", 'Pod "p" is invalid: spec.volumes[3]: two types')]),
        R.FORBIDDEN,
        "spec.volumes[3]: two types",
    ),
    "a webhook that denies the pod": (
        Evidence(events=[event("FailedToCreateHeadPod", 'webhook "w" denied the request: no latest tag')]),
        R.FORBIDDEN,
        "no latest tag",
    ),
    "a policy that forbids the pod": (
        Evidence(events=[event("Failed", 'violates PodSecurity "restricted:latest"')]),
        R.FORBIDDEN,
        "restricted",
    ),
}


@pytest.mark.parametrize(("evidence", "reason", "words"), CASES.values(), ids=CASES.keys())
def test_diagnosis(evidence: Evidence, reason: R, words: str) -> None:
    found = diagnose(evidence)
    assert found is not None
    assert found.reason is reason
    assert words in found.message


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(),
        Evidence([pod()], nodes=[node(4)]),
        Evidence([pod(waiting={"reason": "ContainerCreating"})]),
        Evidence(events=[event("Failed", "the value is invalid: x")]),
        Evidence([pod(TAINTED) | {"metadata": {"name": "p", "deletionTimestamp": "now"}}]),
    ],
)
def test_nothing_is_wrong_yet(evidence: Evidence) -> None:
    assert diagnose(evidence) is None


def test_why_the_api_server_refuses_a_child() -> None:
    quota = of_refusal('POST /apis: rayjobs "a" is forbidden: exceeded quota: jobs, used: 1')
    assert (quota.reason, quota.message.partition(";")[0]) == (R.QUOTA, "exceeded quota: jobs, used: 1")
    uncounted = of_refusal(
        'rayjobs "a" is forbidden: status unknown for quota: jobs, resources: count/rayjobs'
    )
    assert uncounted.reason is R.QUOTA
    assert "goes on by itself" in uncounted.message
    other = of_refusal('POST /apis: admission webhook "w" denied the request: no')
    assert (other.reason, other.message) == (
        R.FORBIDDEN,
        'POST /apis: admission webhook "w" denied the request: no',
    )
