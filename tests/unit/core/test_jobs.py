"""Stages that are jobs: from waiting to a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.core.actions import CreateChild, DeleteChild
from llmworkflow.core.observation import ChildPhase

from .builders import artifact, workflow
from .simulator import SimulatedCluster


def test_the_happy_path_step_by_step() -> None:
    cluster = SimulatedCluster()
    first = cluster.plan()
    assert [action.description for action in first.actions] == [
        f"create RayJob {cluster.stage('tune').child.name} for stage tune, attempt 1"
    ]
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Waiting"}
    assert cluster.stage("tune").child.uid is None, "a uid is learnt from the next look"

    cluster.plan()
    assert cluster.stage("tune").child.uid == cluster.child("tune").uid
    assert (cluster.status.phase, cluster.status.stage) == ("Running", "tune")

    cluster.run("tune")
    cluster.tell("tune", progress={"percent": 40.0, "etaSeconds": 30, "message": "step 4/10"})
    cluster.plan()
    assert cluster.states()["tune"] == "Running"
    assert cluster.stage("tune").progress.percent == 40.0

    cluster.succeed("tune")
    done = cluster.plan()
    assert cluster.states() == {"tune": "Succeeded", "score": "Starting", "chat": "Waiting"}
    assert [type(action) for action in done.actions] == [DeleteChild, CreateChild], "GPUs are freed first"
    assert (
        cluster.works[cluster.child("score").name].inputs["tune"].artifact == cluster.stage("tune").artifact
    )

    cluster.settle()
    cluster.complete("score")
    cluster.run("chat")
    cluster.settle()
    assert cluster.states()["chat"] == "Running"
    cluster.see("chat", phase=ChildPhase.READY)
    cluster.settle()
    assert cluster.stage("chat").state == "Checking"
    assert cluster.stage("chat").reason == "VerifyingEndpoint"
    cluster.verify()
    rest = cluster.settle()

    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Serving"}
    assert (cluster.status.phase, cluster.status.url) == ("Serving", "http://chat")
    assert cluster.status.score == "exactMatch 0.9"
    assert set(cluster.children) == {"viggo-chat"}, "finished jobs hold no GPU"
    assert rest.requeue_after is None


def test_a_plan_at_rest_changes_nothing() -> None:
    cluster = SimulatedCluster().until_serving()
    before = cluster.status
    cluster.wait(3600)
    planned = cluster.look_and_plan()
    assert planned.status == before
    assert planned.actions == ()


def test_roots_run_in_parallel_and_joins_wait_for_all() -> None:
    cluster = SimulatedCluster(
        workflow(
            ("stages.1.dependsOn", []),
            ("stages.1.batch.model", None),
            ("stages.2.dependsOn", ["tune", "score"]),
        )
    )
    cluster.settle()
    assert cluster.states() == {"tune": "Starting", "score": "Starting", "chat": "Waiting"}
    cluster.complete("score")
    assert cluster.states()["chat"] == "Waiting"
    assert cluster.stage("chat").message == "waits for tune"
    cluster.complete("tune")
    assert cluster.states()["chat"] == "Starting"


def test_a_verdict_outlives_its_child() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.succeed("tune")
    cluster.settle()
    assert cluster.stage("tune").child is None
    assert cluster.stage("tune").state == "Succeeded"
    assert cluster.stage("tune").results[0].artifact == cluster.stage("tune").artifact


@pytest.mark.parametrize(
    ("seen", "reported", "state", "reason"),
    [
        # KubeRay's word against the job's: the job's counts
        ({"phase": ChildPhase.FAILED, "reason": "SubmissionFailed"}, "success", "Succeeded", "Completed"),
        ({"phase": ChildPhase.RUNNING}, "success", "Succeeded", "Completed"),
        ({"phase": ChildPhase.SUCCEEDED}, "failure", "Failed", "DataInvalid"),
        ({"phase": ChildPhase.FAILED, "reason": "AppFailed"}, "failure", "Failed", "DataInvalid"),
        # only KubeRay's word
        ({"phase": ChildPhase.FAILED, "reason": "AppFailed"}, None, "Waiting", "RetryBackoff"),
        ({"phase": ChildPhase.FAILED, "reason": "Invalid", "permanent": True}, None, "Failed", "Invalid"),
        ({"phase": ChildPhase.FAILED}, None, "Waiting", "RetryBackoff"),
        # success without an artifact is none
        ({"phase": ChildPhase.SUCCEEDED}, None, "Checking", "WaitingForReport"),
        ({"phase": ChildPhase.SUCCEEDED}, "no artifact", "Checking", "WaitingForReport"),
        ({"phase": ChildPhase.FAILED}, "no artifact", "Waiting", "RetryBackoff"),
        # a report that is older than the pods is not believed
        ({"phase": ChildPhase.PENDING}, "failure", "Starting", "PodsPending"),
        ({"phase": ChildPhase.QUEUED}, "success", "Queued", "QueuedByKueue"),
    ],
)  # fmt: skip
def test_how_a_job_came_out(seen: dict[str, Any], reported: str | None, state: str, reason: str) -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.see("tune", **seen)
    if reported == "success":
        cluster.tell("tune", state="Succeeded", artifact=artifact("a", "adapter"))
    if reported == "no artifact":
        cluster.tell("tune", state="Succeeded")
    if reported == "failure":
        error = {"reason": "DataInvalid", "message": "train.jsonl, line 3: no JSON", "retryable": False}
        cluster.tell("tune", state="Failed", error=error)
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").reason) == (state, reason)


def test_a_report_of_another_attempt_is_ignored() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.run("tune")
    cluster.succeed("tune")
    stale = cluster.child("tune").report
    cluster.see("tune", phase=ChildPhase.RUNNING, report=stale.model_copy(update={"attempt": 7}))
    cluster.settle()
    assert cluster.stage("tune").state == "Running"


def test_a_missing_report_is_waited_for_and_then_costs_an_attempt() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.see("tune", phase=ChildPhase.SUCCEEDED)
    waiting = cluster.settle()
    assert waiting.requeue_after == 60
    assert cluster.child("tune"), "the child is kept until its report was read"
    cluster.wait(59)
    cluster.settle()
    assert cluster.stage("tune").state == "Checking"
    cluster.wait(1)
    cluster.settle()
    assert cluster.stage("tune").reason == "RetryBackoff"
    assert cluster.stage("tune").attempts[-1].reason == "ArtifactMissing"


def test_a_late_report_is_still_read() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.see("tune", phase=ChildPhase.SUCCEEDED)
    cluster.settle()
    cluster.wait(30)
    cluster.succeed("tune")
    cluster.settle()
    assert cluster.stage("tune").state == "Succeeded"


def test_pending_pods_are_explained() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    diagnosis = "no node has nvidia.com/gpu: 4; ask for fewer workers"
    cluster.see("tune", reason="Unschedulable", message=diagnosis)
    cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.reason, tune.message) == ("Starting", "Unschedulable", diagnosis)
    assert any(diagnosis in condition.message for condition in cluster.status.conditions)
