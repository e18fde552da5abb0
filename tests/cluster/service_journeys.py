"""Every transition of a stage that serves, and how it comes about on a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from llmworkflow.api.status import StageState as S

from .api import Object, condition
from .fates import DONE, ImagePullFails
from .job_journeys import runs, score, tune
from .journeys import Journey, shows
from .ray_manifests import ray_service
from .scene import SECONDS, Scene, eventually
from .scripts import NEVER_ENDS, UNHEALTHY, ServeScript
from .supplies import secret

JOURNEYS: list[Journey] = []

DEPLOYING = ServeScript(status="DEPLOYING")
REPLAYS = ServeScript(verdict=False)
ASKED = {"approval": {"required": True}}


def chat(name: str = "chat", length: int = 4096, **more: Any) -> Object:
    """An endpoint of the base model."""
    models = [{"modelId": name, "engineKwargs": {"max_model_len": length}}]
    return {"name": name, "dependsOn": [], "serve": {"models": models}, **more}


def becomes(scene: Scene, script: ServeScript, stage: str = "chat") -> None:
    """How the endpoint of a stage is from now on."""
    scene.cluster.dashboard.script_serve(scene.namespace, stage, script)


def served(scene: Scene) -> Object:
    """The child of an endpoint that serves."""
    scene.begin(chat())
    scene.until("chat", S.SERVING)
    return scene.child("chat")


def degraded(scene: Scene) -> Object:
    """The child of an endpoint that served, and is not healthy now."""
    child = served(scene)
    becomes(scene, UNHEALTHY)
    scene.until("chat", S.DEGRADED, "EndpointUnhealthy")
    return child


def upgrading(scene: Scene) -> Object:
    """The child of an endpoint whose successor does not come up."""
    child = served(scene)
    becomes(scene, DEPLOYING)
    scene.edit(chat(length=8192))
    scene.until("chat", S.UPGRADING)
    return child


def verifying(scene: Scene) -> Object:
    """The child of an endpoint through which rows of a batch are being replayed."""
    becomes(scene, REPLAYS)
    scene.begin(score(), chat(dependsOn=["score"]))
    scene.until("chat", S.CHECKING, "VerifyingEndpoint")
    return scene.child("chat")


@shows(
    JOURNEYS,
    (S.CHECKING, S.SERVING),
    (S.SERVING, S.DEGRADED),
    (S.DEGRADED, S.SERVING),
    (S.SERVING, S.UPGRADING),
    (S.UPGRADING, S.SERVING),
    (S.SERVING, S.STOPPING),
)
def unhealthy_promoted_and_suspended(scene: Scene) -> None:
    degraded(scene)
    assert "The engine died." in scene.stage("chat")["message"]
    becomes(scene, ServeScript())
    scene.until("chat", S.SERVING)
    scene.edit(chat(length=8192))
    scene.passes(S.UPGRADING, S.SERVING)
    scene.edit(chat(length=8192), suspend=True)
    scene.until("chat", S.QUEUED, "Suspended")


@shows(JOURNEYS, (S.QUEUED, S.AWAITING_APPROVAL), (S.AWAITING_APPROVAL, S.QUEUED))
def approved_while_suspended(scene: Scene) -> None:
    scene.begin(chat(), suspend=True)
    scene.until("chat", S.QUEUED)
    scene.edit(chat(**ASKED), suspend=True)
    scene.until("chat", S.AWAITING_APPROVAL)
    scene.decide("approve", "chat")
    scene.until("chat", S.QUEUED, "Suspended")


@shows(JOURNEYS, (S.WAITING, S.AWAITING_APPROVAL), (S.AWAITING_APPROVAL, S.STARTING))
def approved_before_it_is_served(scene: Scene) -> None:
    scene.begin(chat(**ASKED))
    awaited = scene.until("chat", S.AWAITING_APPROVAL, "ApprovalRequired")
    assert re.fullmatch(r"approve chat@\w+ to serve it, or reject it", awaited["message"])
    assert scene.api.list("RayService", scene.namespace) == []
    scene.decide("approve", "chat")
    scene.until("chat", S.SERVING)


@shows(JOURNEYS, (S.WAITING, S.FAILED))
def name_taken_by_somebody_else(scene: Scene) -> None:
    other = ray_service(scene.namespace, f"{scene.name}-chat")
    # Nobody serves this version, so that the garbage collector cannot find out that the owner is gone.
    older = {"apiVersion": "llmworkflow.io/v0", "kind": "LLMWorkflow", "name": scene.name, "uid": "older"}
    other["metadata"]["ownerReferences"] = [older]
    created = scene.api.create(other)
    scene.begin(chat())
    scene.until("chat", S.WAITING, "PredecessorTerminating")
    scene.change(created, metadata={"ownerReferences": []})
    failed = scene.until("chat", S.FAILED, "NameTaken")
    assert "belongs to no workflow; rename stage chat, or delete it" in failed["message"]


@shows(JOURNEYS, (S.CHECKING, S.RUNNING), (S.CHECKING, S.STARTING))
def not_ready_while_it_is_verified(scene: Scene) -> Iterator[None]:
    child = verifying(scene)
    becomes(scene, ServeScript(status="UNHEALTHY", verdict=False))
    scene.until("chat", S.RUNNING, "EndpointUnhealthy")
    becomes(scene, REPLAYS)
    scene.until("chat", S.CHECKING)
    yield
    scene.lose_ray_cluster(child)
    eventually(
        lambda: condition(scene.child("chat"), "Ready")["status"] == "False", SECONDS, "it is not ready"
    )
    yield
    scene.until("chat", S.STARTING)


@shows(JOURNEYS, (S.CHECKING, S.STOPPING), (S.CHECKING, S.WAITING))
def suspended_and_lost_while_it_is_verified(scene: Scene) -> None:
    verifying(scene)
    scene.edit(score(), chat(dependsOn=["score"]), suspend=True)
    scene.until("chat", S.QUEUED, "Suspended")
    scene.edit(score(), chat(dependsOn=["score"]))
    scene.until("chat", S.CHECKING)
    scene.vanish(scene.child("chat"))
    scene.until("chat", S.WAITING, "RetryBackoff")


@shows(JOURNEYS, (S.CHECKING, S.QUEUED))
def preempted_while_it_is_verified(scene: Scene) -> None:
    child = verifying(scene)
    scene.preempt(child)
    scene.until("chat", S.QUEUED, "QueuedByKueue")


@shows(JOURNEYS, (S.RUNNING, S.STARTING))
def pods_gone_before_it_is_ready(scene: Scene) -> None:
    becomes(scene, DEPLOYING)
    scene.begin(chat())
    scene.until("chat", S.RUNNING)
    scene.lose_ray_cluster(scene.child("chat"))
    scene.until("chat", S.STARTING)


@shows(JOURNEYS, (S.RUNNING, S.STARTING), (S.STARTING, S.FAILED))
def workers_that_never_start(scene: Scene) -> None:
    """The head is there and deploys, so that KubeRay knows of no trouble."""
    becomes(scene, DEPLOYING)
    scene.cluster.kubelet.tell(scene.namespace, ImagePullFails(), node_type="worker")
    scene.begin(chat())
    scene.until("chat", S.RUNNING)
    scene.until("chat", S.STARTING, "ImagePullFailed")
    scene.edit(chat(pendingTimeoutSeconds=30))
    assert "check ray.image" in scene.until("chat", S.FAILED, "PendingTimeoutExceeded")["message"]


@shows(JOURNEYS, (S.SERVING, S.QUEUED), (S.SERVING, S.WAITING))
def preempted_and_lost_while_it_serves(scene: Scene) -> None:
    child = served(scene)
    scene.preempt(child)
    scene.until("chat", S.QUEUED, "QueuedByKueue")
    scene.preempt(child, suspended=False)
    scene.until("chat", S.SERVING)
    scene.vanish(child)
    scene.passes(S.SERVING, S.WAITING)


@shows(
    JOURNEYS,
    (S.DEGRADED, S.UPGRADING),
    (S.UPGRADING, S.DEGRADED),
    (S.DEGRADED, S.WAITING),
)
def successor_and_predecessor_do_not_come_up(scene: Scene) -> None:
    child = degraded(scene)
    scene.edit(chat(length=8192))
    scene.until("chat", S.UPGRADING)
    scene.edit(chat(timeoutSeconds=5))
    late = scene.until("chat", S.DEGRADED, "TimeoutExceeded")
    assert "raise timeoutSeconds of stage chat" in late["message"]
    scene.vanish(child)
    scene.passes(S.DEGRADED, S.WAITING)


@shows(JOURNEYS, (S.DEGRADED, S.QUEUED))
def preempted_while_it_is_unhealthy(scene: Scene) -> None:
    scene.preempt(degraded(scene))
    scene.until("chat", S.QUEUED, "QueuedByKueue")


@shows(JOURNEYS, (S.DEGRADED, S.STOPPING))
def suspended_while_it_is_unhealthy(scene: Scene) -> None:
    degraded(scene)
    scene.edit(chat(), suspend=True)
    scene.until("chat", S.QUEUED, "Suspended")


@shows(JOURNEYS, (S.UPGRADING, S.QUEUED))
def preempted_while_its_successor_starts(scene: Scene) -> None:
    scene.preempt(upgrading(scene))
    scene.until("chat", S.QUEUED, "QueuedByKueue")


@shows(JOURNEYS, (S.UPGRADING, S.WAITING), (S.UPGRADING, S.STOPPING))
def lost_and_suspended_while_its_successor_starts(scene: Scene) -> None:
    scene.vanish(upgrading(scene))
    becomes(scene, ServeScript())
    scene.until("chat", S.SERVING)
    becomes(scene, DEPLOYING)
    scene.edit(chat(length=2048))
    scene.until("chat", S.UPGRADING)
    scene.edit(chat(length=2048), suspend=True)
    scene.until("chat", S.QUEUED, "Suspended")


@shows(JOURNEYS, (S.UPGRADING, S.FAILED))
def neither_successor_nor_predecessor_answer_as_the_batch_did(scene: Scene) -> None:
    scene.begin(score(), chat(dependsOn=["score"]))
    scene.until("chat", S.SERVING)
    becomes(scene, ServeScript(agreement=0.5))
    scene.edit(score(), chat(length=8192, dependsOn=["score"]))
    failed = scene.until("chat", S.FAILED, "VerificationFailed")
    assert "0.5 of 16 replayed rows were answered as in the batch" in failed["message"]


@shows(
    JOURNEYS,
    (S.RUNNING, S.CANCELLED),
    (S.CHECKING, S.CANCELLED),
    (S.SERVING, S.CANCELLED),
    (S.UPGRADING, S.CANCELLED),
    (S.DEGRADED, S.CANCELLED),
)
def cancelled_when_the_children_were_gone_already(scene: Scene) -> Iterator[None]:
    ends = {
        "tune": S.RUNNING,
        "verifies": S.CHECKING,
        "serves": S.SERVING,
        "upgrades": S.UPGRADING,
        "degrades": S.DEGRADED,
    }
    before = [score(), tune(), chat("verifies", dependsOn=["score"])]
    runs(scene, NEVER_ENDS)
    becomes(scene, REPLAYS, "verifies")
    scene.begin(*before, *map(chat, ("serves", "upgrades", "degrades")))
    for name in ("serves", "upgrades", "degrades"):
        scene.until(name, S.SERVING)
    becomes(scene, DEPLOYING, "upgrades")
    becomes(scene, UNHEALTHY, "degrades")
    scene.edit(*before, chat("serves"), chat("upgrades", length=8192), chat("degrades"))
    for name, state in ends.items():
        scene.until(name, state)
    children = [scene.child(name) for name in ends]
    yield
    for child in children:
        scene.vanish(child)
    scene.ask("cancel", "*")
    yield
    for name in ends:
        scene.until(name, S.CANCELLED, "CancelledByUser")


@shows(JOURNEYS, (S.CHECKING, S.SERVING), (S.SERVING, S.STOPPING))
def with_its_state_in_redis(scene: Scene) -> None:
    # KubeRay's, when the service goes.
    scene.cluster.kubelet.tell(scene.namespace, DONE, node_type="redis-cleanup")
    secret(scene.api, scene.namespace, "redis", password="x")
    password = {"secretKeyRef": {"name": "redis", "key": "password"}}
    redis = {"redisAddress": "redis.cache.svc:6379", "redisPassword": password}
    scene.begin(chat(), ray={"accelerator": {"name": "l4"}, "gcsFaultTolerance": redis})
    scene.until("chat", S.SERVING)
    (ray,) = scene.api.list("RayCluster", scene.namespace)
    assert ray["spec"]["gcsFaultToleranceOptions"]["redisAddress"] == "redis.cache.svc:6379"
    pods = scene.api.list("Pod", scene.namespace, {"ray.io/node-type": "head"})
    told = {item["name"]: item for pod in pods for item in pod["spec"]["containers"][0]["env"]}
    assert told["RAY_REDIS_ADDRESS"]["value"] == "redis.cache.svc:6379"
    assert told["REDIS_PASSWORD"]["valueFrom"] == password
    scene.edit(chat(), ray={"accelerator": {"name": "l4"}, "gcsFaultTolerance": redis}, suspend=True)
    scene.until("chat", S.QUEUED, "Suspended")
    assert scene.api.list("RayService", scene.namespace) == []
