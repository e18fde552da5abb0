"""What the pods of a stage wait for is told with its remedy; once mended, the stage goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmworkflow.api.status import StageState as S

from .conftest import Cluster
from .fates import CRASH_LOOP, ImagePullFails, NotAttached, Runs
from .job_journeys import runs, tune
from .journeys import Journey, Played, play, selected, shows
from .scene import SECONDS, Scene, eventually
from .scripts import NEVER_ENDS, ServeScript
from .service_journeys import DEPLOYING, becomes, chat, served
from .supplies import claim, secret

TROUBLES: list[Journey] = []
QUOTA = "small"
L4 = {"accelerator": {"name": "l4"}}

pytestmark = pytest.mark.timeout(900)  # the first of the tests waits for all


def accelerator(product: str, count: int = 1, *, tolerates: bool = True) -> dict[str, Any]:
    """Ray's settings with GPUs of a product."""
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    chosen = {"type": "GPU", "count": count, "nodeSelector": {"nvidia.com/gpu.product": product}}
    return {"accelerator": {**chosen, "tolerations": [toleration] if tolerates else []}}


def quota(scene: Scene, resource: str, amount: int = 0) -> None:
    """Allow so many of something in the namespace; for kinds that are new, counting begins after half a minute."""
    scene.api.create(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": QUOTA, "namespace": scene.namespace},
            "spec": {"hard": {resource: str(amount)}},
        }
    )

    def counted() -> Any:
        found = scene.api.get("ResourceQuota", QUOTA, scene.namespace) or {}
        return resource in found.get("status", {}).get("used", {})

    eventually(counted, SECONDS, f"{scene.namespace}: {resource} is counted")


@shows(TROUBLES)
def no_such_gpu(scene: Scene) -> None:
    scene.begin(tune(), ray=accelerator("NVIDIA-B200"))
    scene.tells(
        "tune", S.STARTING, "AcceleratorUnavailable",
        "needs 1 nvidia.com/gpu and no node with nvidia.com/gpu.product=NVIDIA-B200 has any",
        "choose another accelerator, or add such a node",
    )  # fmt: skip
    scene.edit(tune(), ray=L4)
    scene.until("tune", S.SUCCEEDED)


@shows(TROUBLES)
def too_many_gpus_for_a_node(scene: Scene) -> None:
    scene.cluster.kubelet.add_node("t4", gpus=4)
    scene.begin(tune(), ray=accelerator("Tesla-T4", 8))
    scene.tells(
        "tune", S.STARTING, "AcceleratorUnavailable",
        "needs 8 nvidia.com/gpu on one node, and nodes with nvidia.com/gpu.product=Tesla-T4 have at most 4",
        "ask for fewer a worker",
    )  # fmt: skip


@shows(TROUBLES)
def gpus_that_others_use(scene: Scene) -> None:
    many = accelerator("NVIDIA-H100-80GB-HBM3", 40)
    runs(scene, NEVER_ENDS, stage="first")
    scene.begin(tune("first"), ray=many)
    scene.until("first", S.RUNNING)
    scene.edit(tune("second"), tune("first"), ray=many)
    scene.tells(
        "second", S.STARTING, "AcceleratorsInUse",
        "needs 40 nvidia.com/gpu; nodes with nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3 have 64",
        "it starts when some are free",
    )  # fmt: skip
    scene.ask("cancel", "first")
    scene.until("second", S.SUCCEEDED)


@shows(TROUBLES)
def successor_without_a_gpu(scene: Scene) -> None:
    served(scene)
    becomes(scene, DEPLOYING)  # as without a worker to run an engine
    scene.edit(chat(length=8192), ray=accelerator("NVIDIA-B200"))
    scene.tells(
        "chat", S.UPGRADING, "AcceleratorUnavailable",
        "needs 1 nvidia.com/gpu and no node with nvidia.com/gpu.product=NVIDIA-B200 has any",
    )  # fmt: skip
    assert scene.workflow["status"]["serving"], "its predecessor serves"
    becomes(scene, ServeScript())
    scene.edit(chat(length=8192), ray=L4)
    scene.until("chat", S.SERVING)


@shows(TROUBLES)
def nodes_with_a_taint(scene: Scene) -> None:
    scene.begin(tune(), ray=accelerator("NVIDIA-L4", tolerates=False))
    scene.tells(
        "tune", S.STARTING, "NodesTainted",
        "does not tolerate the taint nvidia.com/gpu=present:NoSchedule of the nodes it fits",
        "add it to ray.accelerator.tolerations",
    )  # fmt: skip


def exceeds(scene: Scene, resource: str, requested: str) -> None:
    """A job for which there is no quota, until there is."""
    quota(scene, resource)
    scene.begin(tune())
    scene.tells(
        "tune", S.STARTING, "QuotaExceeded",
        f"exceeded quota: {QUOTA}, requested: {requested}", "raise the quota, or free what others use",
    )  # fmt: skip
    scene.api.delete("ResourceQuota", QUOTA, scene.namespace)
    scene.until("tune", S.SUCCEEDED)


@shows(TROUBLES)
def quota_of_pods(scene: Scene) -> None:
    exceeds(scene, "pods", "pods=1, used: pods=0, limited: pods=0")


@shows(TROUBLES)
def quota_of_jobs(scene: Scene) -> None:
    exceeds(scene, "count/rayjobs.ray.io", "count/rayjobs.ray.io=1")


@shows(TROUBLES)
def room_for_one_job_at_a_time(scene: Scene) -> None:
    quota(scene, "count/rayjobs.ray.io", 1)
    scene.begin(tune("first"), {**tune("second"), "dependsOn": ["first"]})
    scene.until("second", S.SUCCEEDED)


@shows(TROUBLES)
def pods_that_the_namespace_forbids(scene: Scene) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    scene.api.patch("Namespace", scene.namespace, None, {"metadata": {"labels": labels}})
    scene.begin(tune(), ray={**L4, "worker": {"podTemplate": {"spec": {"hostNetwork": True}}}})
    scene.tells(
        "tune", S.STARTING, "PodForbidden",
        'violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)',
        "change the pod templates, or the namespace's policy",
    )  # fmt: skip


@shows(TROUBLES)
def image_that_is_not_to_be_had(scene: Scene) -> None:
    scene.cluster.kubelet.tell(scene.namespace, ImagePullFails())
    scene.begin(tune(), ray={**L4, "image": "registry.example/jobs:none"})
    scene.tells(
        "tune", S.STARTING, "ImagePullFailed",
        "cannot pull registry.example/jobs:none",
        "failed to resolve reference: not found; check ray.image and ray.imagePullSecrets",
    )  # fmt: skip
    scene.cluster.kubelet.tell(scene.namespace, Runs())
    scene.until("tune", S.SUCCEEDED)


@shows(TROUBLES)
def claim_that_is_not_there(scene: Scene) -> None:
    scene.begin(tune(), storage={"volume": {"claimName": "later"}})
    scene.tells(
        "tune", S.STARTING, "ClaimMissing",
        "needs PersistentVolumeClaim later, which is not there; create it",
    )  # fmt: skip
    claim(scene.api, scene.namespace, "later")
    scene.until("tune", S.SUCCEEDED)


@shows(TROUBLES)
def claim_without_a_volume(scene: Scene) -> None:
    scene.api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "unbound", "namespace": scene.namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "none",
                "resources": {"requests": {"storage": "1Ti"}},
            },
        }
    )
    scene.begin(tune(), storage={"volume": {"claimName": "unbound"}})
    scene.tells(
        "tune", S.STARTING, "ClaimPending",
        "PersistentVolumeClaim unbound is Pending; check its storage class and size",
    )  # fmt: skip


@shows(TROUBLES)
def claim_for_one_pod_alone(scene: Scene) -> None:
    claim(scene.api, scene.namespace, "single", "ReadWriteOncePod")
    scene.begin(tune(), storage={"volume": {"claimName": "single"}})
    scene.tells(
        "tune", S.STARTING, "ClaimInUse",
        "PersistentVolumeClaim single is for one pod (ReadWriteOncePod)",
        "use a claim of access mode ReadWriteMany",
    )  # fmt: skip


@shows(TROUBLES)
def volume_on_another_node(scene: Scene) -> None:
    scene.cluster.kubelet.tell(scene.namespace, NotAttached(), node_type="worker")
    scene.begin(tune())
    scene.tells(
        "tune", S.STARTING, "VolumeUnavailable",
        "Multi-Attach error for volume",
        "pods on several nodes need a claim of access mode ReadWriteMany",
    )  # fmt: skip
    scene.cluster.kubelet.tell(scene.namespace, Runs())
    scene.until("tune", S.SUCCEEDED)


@shows(TROUBLES)
def secret_that_is_not_there(scene: Scene) -> None:
    token = {"secretKeyRef": {"name": "hub", "key": "token"}}
    scene.begin(tune(), model={"source": "hf://Qwen/Qwen2.5-7B-Instruct", "tokenFrom": token})
    scene.tells("tune", S.STARTING, "SecretMissing", "needs Secret hub, which is not there; create it")
    secret(scene.api, scene.namespace, "hub", other="x")
    told = "needs key token of Secret hub, which is not there; add it"
    eventually(lambda: told in scene.stage("tune")["message"], SECONDS, "the key is missed")
    scene.api.patch("Secret", "hub", scene.namespace, {"stringData": {"token": "x"}})
    scene.until("tune", S.SUCCEEDED)


@shows(TROUBLES)
def service_account_that_is_not_there(scene: Scene) -> None:
    scene.begin(tune(), ray={**L4, "serviceAccountName": "team"})
    scene.tells(
        "tune", S.STARTING, "ServiceAccountMissing",
        "ServiceAccount team is not there; create it, or correct ray.serviceAccountName",
    )  # fmt: skip
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "team", "namespace": scene.namespace},
    }
    scene.api.create(account)
    scene.until("tune", S.RUNNING)


@shows(TROUBLES)
def container_that_does_not_stay_up(scene: Scene) -> None:
    scene.cluster.kubelet.tell(scene.namespace, CRASH_LOOP, node_type="head")
    scene.begin(tune())
    scene.tells(
        "tune", S.STARTING, "PodCrashing",
        "CrashLoopBackOff: back-off 10s restarting failed container=ray-head; see the pod's log",
    )  # fmt: skip


@shows(TROUBLES)
def queue_that_does_not_admit(scene: Scene) -> None:
    scene.begin(tune(), ray={**L4, "queue": "team-a"})
    remedy = "is held back by its queue team-a; see that LocalQueue and its Workload"
    scene.tells("tune", S.QUEUED, "QueuedByKueue", remedy, warns=False)
    scene.change(scene.child("tune"), spec={"suspend": False})
    scene.until("tune", S.SUCCEEDED)


@pytest.fixture(scope="module")
def played(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Mapping[str, Played]:
    """All that are asked for, at the same time."""
    return play(cluster, tmp_path_factory.mktemp("operator"), selected(request, TROUBLES))


@pytest.mark.capability("pending")
@pytest.mark.parametrize("name", [journey.name for journey in TROUBLES])
def test_trouble_is_told_and_passes(played: Mapping[str, Played], name: str) -> None:
    if error := played[name].error:
        raise error
