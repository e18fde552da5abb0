"""Every transition of a stage that is a job, and how it comes about on a cluster."""

from __future__ import annotations

import copy
from typing import Any

from llmworkflow.api.status import StageState as S

from .api import Object
from .fates import NeverStarts, Runs
from .journeys import Journey, shows
from .scene import HELD, SECONDS, Scene, eventually
from .scripts import FAILS, NEVER_ENDS, JobScript

JOURNEYS: list[Journey] = []


def tune(name: str = "tune", seed: int = 0, **more: Any) -> Object:
    """A fine-tuning."""
    data = {"train": [{"uri": "volume:train.jsonl"}]}
    return {"name": name, "dependsOn": [], "fineTune": {"data": data, "training": {"seed": seed}}, **more}


def score(least: float = 0.65, limit: int = 100, **more: Any) -> Object:
    """A batch of the base model, whose score is 0.81."""
    batch = {"input": {"uri": "volume:test.jsonl", "limit": limit}, "evaluate": {"metrics": ["exactMatch"]}}
    gates = [{"metric": "exactMatch", "min": least}]
    return {"name": "score", "dependsOn": [], "batch": batch, "gates": gates, **more}


def runs(scene: Scene, *scripts: JobScript, stage: str = "tune") -> None:
    """What the runs of a stage do, one after another."""
    scene.cluster.dashboard.script_job(scene.namespace, stage, *scripts)


@shows(
    JOURNEYS,
    (S.WAITING, S.QUEUED),
    (S.QUEUED, S.STARTING),
    (S.STARTING, S.RUNNING),
    (S.RUNNING, S.STOPPING),
    (S.STOPPING, S.WAITING),
    (S.QUEUED, S.CANCELLED),
    (S.CANCELLED, S.WAITING),
)
def suspended_resumed_and_cancelled(scene: Scene) -> None:
    runs(scene, NEVER_ENDS)
    scene.begin(tune(), suspend=True)
    assert "set spec.suspend to false" in scene.until("tune", S.QUEUED, "Suspended")["message"]
    scene.edit(tune())
    scene.until("tune", S.RUNNING)
    scene.edit(tune(), suspend=True)
    scene.until("tune", S.QUEUED, "Suspended")
    scene.ask("cancel", "tune")
    cancelled = scene.until("tune", S.CANCELLED, "CancelledByUser")
    remedy = f"run `llmworkflow retry {scene.name} --from tune -n {scene.namespace}` to go on"
    assert cancelled["message"] == f"cancelled by alice; {remedy}"
    scene.ask("retry", "tune")
    scene.until("tune", S.QUEUED, "Suspended")


@shows(
    JOURNEYS,
    (S.WAITING, S.STARTING),
    (S.RUNNING, S.CHECKING),
    (S.CHECKING, S.SUCCEEDED),
    (S.SUCCEEDED, S.WAITING),
    (S.QUEUED, S.WAITING),
    (S.QUEUED, S.CHECKING),
    (S.WAITING, S.CHECKING),
)
def edited_and_edited_back(scene: Scene) -> None:
    runs(scene, JobScript(), NEVER_ENDS)
    scene.begin(tune())
    first = scene.until("tune", S.SUCCEEDED, "Completed")
    scene.edit(tune(seed=1))
    scene.until("tune", S.RUNNING)
    assert len(scene.api.list("RayJob", scene.namespace)) == 1, "the GPUs of the other are free"
    scene.edit(tune(seed=1), suspend=True)
    scene.until("tune", S.QUEUED)
    scene.edit(tune(), suspend=True)
    eventually(lambda: scene.stage("tune")["revision"] == first["revision"], SECONDS, "it is the first again")
    scene.edit(tune())
    reused = scene.until("tune", S.SUCCEEDED, "Reused")
    assert (reused["reused"], reused["artifact"]) == (True, first["artifact"])
    scene.edit(tune(seed=1))
    scene.until("tune", S.RUNNING)
    scene.edit(tune())
    scene.until("tune", S.SUCCEEDED, "Reused")


@shows(JOURNEYS, (S.STARTING, S.STOPPING), (S.STARTING, S.FAILED), (S.FAILED, S.WAITING))
def pods_that_never_start(scene: Scene) -> None:
    scene.cluster.kubelet.tell(scene.namespace, NeverStarts())
    scene.begin(tune())
    scene.until("tune", S.STARTING)
    scene.child("tune")
    scene.edit(tune(), suspend=True)
    scene.until("tune", S.QUEUED, "Suspended")
    scene.edit(tune(pendingTimeoutSeconds=5))
    failed = scene.until("tune", S.FAILED, "PendingTimeoutExceeded")
    assert failed["message"].startswith("pods were pending for 5 s")
    scene.until_gone("tune")
    scene.cluster.kubelet.tell(scene.namespace, Runs())
    scene.edit(tune())
    scene.until("tune", S.SUCCEEDED)


@shows(
    JOURNEYS,
    (S.STARTING, S.QUEUED),
    (S.RUNNING, S.QUEUED),
    (S.QUEUED, S.STOPPING),
    (S.STOPPING, S.CANCELLED),
)
def admitted_by_a_queue_and_preempted(scene: Scene) -> None:
    runs(scene, NEVER_ENDS)
    scene.begin(tune(), ray={"accelerator": {"name": "l4"}, "queue": "team-a"})
    queued = scene.until("tune", S.QUEUED, "QueuedByKueue")
    assert "held back by its queue" in queued["message"]
    scene.change(scene.child("tune"), spec={"suspend": False})
    scene.until("tune", S.RUNNING)
    scene.change(scene.child("tune"), spec={"suspend": True})
    preempted = scene.until("tune", S.QUEUED, "QueuedByKueue")
    assert preempted["attempt"] == 1, "being preempted costs no attempt"
    scene.ask("cancel", "tune")
    scene.until("tune", S.CANCELLED)


@shows(JOURNEYS, (S.QUEUED, S.FAILED))
def deleted_while_a_queue_holds_it(scene: Scene) -> None:
    scene.begin(tune(retries=0), ray={"accelerator": {"name": "l4"}, "queue": "team-a"})
    scene.until("tune", S.QUEUED, "QueuedByKueue")
    scene.vanish(scene.child("tune"))
    scene.until("tune", S.FAILED, "ChildLost")


@shows(JOURNEYS, (S.STARTING, S.WAITING), (S.RUNNING, S.WAITING))
def lost_children(scene: Scene) -> None:
    runs(scene, NEVER_ENDS)
    scene.cluster.kubelet.tell(scene.namespace, NeverStarts())
    scene.begin(tune())
    scene.until("tune", S.STARTING, "PodsPending")
    scene.vanish(scene.child("tune"))
    paused = scene.until("tune", S.WAITING, "RetryBackoff")
    assert "was deleted by somebody else" in paused["message"]
    scene.cluster.kubelet.tell(scene.namespace, Runs())
    scene.until("tune", S.RUNNING)
    scene.vanish(scene.child("tune"))
    scene.until("tune", S.WAITING, "RetryBackoff")


@shows(
    JOURNEYS,
    (S.CHECKING, S.AWAITING_APPROVAL),
    (S.AWAITING_APPROVAL, S.CHECKING),
    (S.AWAITING_APPROVAL, S.FAILED),
    (S.FAILED, S.CHECKING),
    (S.SUCCEEDED, S.CHECKING),
    (S.CHECKING, S.FAILED),
)
def judged_by_gates_and_by_a_person(scene: Scene) -> None:
    asked = {"approval": {"required": True}}
    scene.begin(score(**asked))
    awaited = scene.until("score", S.AWAITING_APPROVAL, "ApprovalRequired")
    assert awaited["message"] == f"approve score@{awaited['revision']} to go on, or reject it"
    scene.edit(score(least=0.7, **asked))
    eventually(
        lambda: (S.AWAITING_APPROVAL, S.CHECKING) in scene.seen(), SECONDS, "its gates are judged anew"
    )
    scene.decide("reject", "score")
    assert "rejected by alice" in scene.until("score", S.FAILED, "Rejected")["message"]
    scene.decide("approve", "score")
    scene.until("score", S.SUCCEEDED)
    scene.edit(score(least=0.9, **asked))
    assert scene.until("score", S.FAILED, "GateNotMet")["message"] == "exactMatch 0.81 < 0.9"
    scene.edit(score(**asked))
    scene.until("score", S.SUCCEEDED)


@shows(
    JOURNEYS,
    (S.AWAITING_APPROVAL, S.SUCCEEDED),
    (S.AWAITING_APPROVAL, S.WAITING),
    (S.AWAITING_APPROVAL, S.CANCELLED),
)
def approved_run_again_and_cancelled(scene: Scene) -> None:
    asked = {"approval": {"required": True}}
    scene.begin(score(**asked))
    scene.until("score", S.AWAITING_APPROVAL)
    scene.decide("approve", "score")
    assert scene.until("score", S.SUCCEEDED)["message"] == "approved by alice"
    for limit in (200, 300):
        before = scene.stage("score")["revision"]
        scene.edit(score(limit=limit, **asked))
        eventually(
            lambda before=before: scene.stage("score")["revision"] != before, SECONDS, "it is run again"
        )
        scene.until("score", S.AWAITING_APPROVAL)
        scene.until_gone("score")
    scene.ask("cancel", "score")
    scene.until("score", S.CANCELLED)


@shows(
    JOURNEYS,
    (S.RUNNING, S.FAILED),
    (S.AWAITING_APPROVAL, S.STOPPING),
    (S.SUCCEEDED, S.STOPPING),
    (S.FAILED, S.STOPPING),
)
def run_again_while_the_child_is_being_removed(scene: Scene) -> None:
    runs(scene, FAILS, stage="bad")
    stages = [tune("good"), tune("bad"), tune("asked", approval={"required": True})]
    ends = {"good": S.SUCCEEDED, "bad": S.FAILED, "asked": S.AWAITING_APPROVAL}
    scene.begin(*stages)
    children = {name: scene.child(name) for name in ends}
    for child in children.values():
        scene.hold(child)
    for name, state in ends.items():
        scene.until(name, state)
    assert scene.stage("bad")["message"] == "train.jsonl, line 3: column output is missing"
    for name in ends:
        scene.ask("retry", name)
        scene.until(name, S.STOPPING, "RetriedByUser")
    for child in children.values():
        scene.release(child)
    for name, state in ends.items():
        eventually(lambda name=name: scene.stage(name)["attempt"] == 2, SECONDS, f"{name} is run again")
        scene.until(name, state)


@shows(
    JOURNEYS,
    (S.WAITING, S.CANCELLED),
    (S.WAITING, S.STOPPING),
    (S.CANCELLED, S.STOPPING),
)
def cancelled_before_its_turn_and_with_a_stray_child(scene: Scene) -> None:
    runs(scene, NEVER_ENDS)
    later = score(dependsOn=["tune"])
    scene.begin(tune(), later)
    scene.until("tune", S.RUNNING)
    assert scene.until("score", S.WAITING, "WaitingForDependencies")["message"] == "waits for tune"
    scene.ask("cancel", "score")
    scene.until("score", S.CANCELLED)
    stray = _stray(scene, "stray")
    scene.ask("retry", "score")
    scene.until("score", S.STOPPING, "RetriedByUser")
    scene.release(stray)
    scene.until("score", S.WAITING)
    stray = _stray(scene, "another")
    scene.ask("cancel", "score")
    scene.until("score", S.STOPPING, "CancelledByUser")
    scene.release(stray)
    scene.until("score", S.CANCELLED)


@shows(JOURNEYS, (S.STARTING, S.CANCELLED))
def cancelled_before_its_child_could_be_made(scene: Scene) -> None:
    scene.api.create(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "no-jobs", "namespace": scene.namespace},
            "spec": {"hard": {"count/rayjobs.ray.io": "0"}},
        }
    )
    scene.begin(tune())
    scene.until("tune", S.STARTING)
    scene.ask("cancel", "tune")
    scene.until("tune", S.CANCELLED)


def _stray(scene: Scene, name: str) -> Object:
    """A job that says it is of the stage `score`, and which does not go when it is deleted."""
    stray = copy.deepcopy(scene.child("tune"))
    told = stray["metadata"]
    stray["metadata"] = {
        "name": name,
        "namespace": scene.namespace,
        "labels": {**told["labels"], "llmworkflow.io/stage": "score"},
        "ownerReferences": told["ownerReferences"],
        "finalizers": [HELD],
    }
    del stray["status"]
    created = scene.api.create(stray)

    def going() -> bool:
        found = scene.api.get("RayJob", name, scene.namespace) or {"metadata": {}}
        return "deletionTimestamp" in found["metadata"]

    eventually(going, SECONDS, f"{name} is being removed, as no stage needs it")
    return created


@shows(JOURNEYS, (S.SUCCEEDED, S.WAITING))
def run_again_by_a_schedule(scene: Scene) -> None:
    runs(scene, JobScript(), NEVER_ENDS)
    scene.begin(tune())
    scene.until("tune", S.SUCCEEDED, "Completed")
    eventually(lambda: not scene.api.list("RayJob", scene.namespace), SECONDS, "its job is removed")
    scene.edit(tune(), schedule={"cron": "* * * * *"})
    again = eventually(
        lambda: (found := scene.stage("tune"))["attempt"] == 2 and found, SECONDS, "it runs again"
    )
    assert again["revision"] in scene.child("tune")["metadata"]["labels"].values()
    ran = scene.workflow["status"]["schedule"]["lastRun"]
    scene.until("tune", S.RUNNING)

    def skips() -> bool:
        told = (event["message"] for event in scene.events() if event["reason"] == "ScheduleSkipped")
        return any("tune was Running" in message for message in told)

    eventually(skips, SECONDS, "a time is let pass, and an Event says so")
    skipped = scene.workflow["status"]["schedule"]
    assert ran < skipped["skipped"] < skipped["nextRun"]
    assert scene.stage("tune")["attempt"] == 2
    scene.edit(tune())
    eventually(lambda: "schedule" not in scene.workflow["status"], SECONDS, "none is told of")
