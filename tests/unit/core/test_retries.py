"""Failures, losses, timeouts, queues and suspension: what costs an attempt, what costs time, and what costs nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmworkflow.core.observation import ChildPhase
from llmworkflow.core.policies.retry import backoff

from .simulator import SimulatedCluster, started


def test_a_failure_is_tried_again_after_a_pause() -> None:
    cluster = started()
    first = cluster.child("tune").name
    cluster.fail("tune")
    paused = cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.reason, tune.failures) == ("Waiting", "RetryBackoff", 1)
    assert "attempt 1 failed (InternalError: tune went wrong)" in tune.message
    assert paused.requeue_after == 10
    assert cluster.children == {}, "GPUs are not held during the pause"

    cluster.wait(paused.requeue_after)
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").attempt) == ("Starting", 2)
    assert cluster.child("tune").name != first


def test_an_edit_ends_the_pause_of_jobs_and_endpoints() -> None:
    cluster = started()
    cluster.fail("tune")
    cluster.settle()
    cluster.edit(("stages.0.ray", {"worker": {"cpu": 8}}))
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").failures) == ("Starting", 0)
    cluster.complete("tune")
    cluster.complete("score")
    cluster.run("chat")
    cluster.settle()
    cluster.see("chat", phase=ChildPhase.FAILED, reason="JobFailed", message="no engine")
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").failures) == ("Waiting", 1)
    cluster.edit(("stages.2.serve.models.0.engineKwargs", {"max_model_len": 1024}))
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").failures) == ("Starting", 0)


def test_a_pause_is_no_longer_than_pauses_are_whatever_the_clock_says() -> None:
    cluster = started()
    cluster.fail("tune")
    cluster.settle()
    cluster.wait(-30 * 24 * 3600)
    cluster.settle()
    assert cluster.states()["tune"] == "Starting"


def test_retries_end() -> None:
    cluster = started(("stages.0.retries", 2))
    for _ in range(3):
        cluster.fail("tune")
        cluster.settle()
        cluster.wait(600)
        cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.reason) == ("Failed", "InternalError")
    assert tune.message == "tune went wrong (after 3 attempts)"
    assert [ended.attempt for ended in tune.attempts] == [1, 2, 3]
    assert cluster.states()["score"] == "Waiting"
    assert cluster.stage("score").reason == "DependencyFailed"
    assert "retry viggo --from tune" in cluster.stage("score").message
    assert cluster.children == {}


def test_what_would_fail_again_is_not_tried_again() -> None:
    cluster = started()
    cluster.fail("tune", "DataInvalid", retryable=False)
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").failures) == ("Failed", 1)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (90, 600)])
def test_pauses_grow_up_to_a_limit(failures: int, seconds: int) -> None:
    assert backoff(failures) == seconds


def test_a_lost_child_costs_an_attempt() -> None:
    cluster = started()
    cluster.run("tune")
    cluster.settle()
    cluster.delete_by_hand("tune")
    cluster.settle()
    assert cluster.stage("tune").attempts[-1].reason == "ChildLost"
    cluster.wait(10)
    cluster.settle()
    assert (cluster.stage("tune").attempt, cluster.stage("tune").failures) == (2, 1)


def test_a_child_that_is_being_deleted_by_hand_is_lost_and_waited_for() -> None:
    cluster = started()
    cluster.run("tune")
    cluster.settle()
    cluster.see("tune", terminating=True)
    cluster.wait(60)
    cluster.plan()
    assert cluster.stage("tune").state == "Stopping"
    cluster.wait(600)
    cluster.plan()
    assert cluster.stage("tune").state == "Stopping", "never two attempts at once"
    cluster.finish_deletions()
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").attempt) == ("Starting", 2)


def test_a_child_that_was_never_seen_is_created_again() -> None:
    cluster = SimulatedCluster()
    crashed = cluster.look_and_plan()
    cluster.write(crashed)
    cluster.wait(5)
    again = cluster.plan()
    assert again.actions == crashed.actions
    assert cluster.stage("tune").attempt == 1


def test_another_child_under_the_same_name_is_not_adopted() -> None:
    cluster = started()
    cluster.see("tune", uid="of somebody who made it anew")
    cluster.plan()
    assert cluster.stage("tune").state == "Stopping"
    assert cluster.child("tune").terminating, "it is ours by its owner, and not the one that was made"


def test_a_job_that_was_edited_by_hand_is_made_anew_at_no_cost() -> None:
    cluster = started()
    cluster.run("tune")
    cluster.settle()
    before = cluster.child("tune")
    cluster.see("tune", edited=True)
    cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.attempt, tune.failures) == ("Starting", 1, 0)
    assert cluster.child("tune").name == before.name
    assert cluster.child("tune").uid != before.uid


# timeouts


def test_an_attempt_that_runs_too_long_ends() -> None:
    cluster = started(("stages.0.timeoutSeconds", 100))
    cluster.run("tune")
    assert cluster.settle().requeue_after == 100
    cluster.wait(100)
    cluster.settle()
    assert cluster.stage("tune").attempts[-1].reason == "TimeoutExceeded"
    assert cluster.stage("tune").state == "Waiting", "the next attempt goes on from the checkpoint"


@pytest.mark.capability("pending")
def test_pods_that_never_come_fail_the_stage() -> None:
    cluster = started(("stages.0.pendingTimeoutSeconds", 60))
    cluster.see("tune", reason="Unschedulable", message="no node matches")
    assert cluster.settle().requeue_after == 60
    cluster.wait(60)
    cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.reason) == ("Failed", "PendingTimeoutExceeded")
    assert "no node matches" in tune.message
    assert cluster.children == {}, "what it held is given back"


@pytest.mark.capability("queue")
def test_time_in_the_queue_counts_in_no_timeout() -> None:
    cluster = started(("stages.0.timeoutSeconds", 100), ("stages.0.pendingTimeoutSeconds", 50))
    cluster.wait(40)
    cluster.see("tune", phase=ChildPhase.QUEUED)
    assert cluster.settle().requeue_after is None
    cluster.wait(10_000)
    cluster.see("tune", phase=ChildPhase.PENDING)
    assert cluster.settle().requeue_after == 50, "the pods are asked for anew"

    cluster.run("tune")
    cluster.settle()
    cluster.wait(60)
    cluster.see("tune", phase=ChildPhase.QUEUED)
    cluster.settle()
    assert cluster.states()["tune"] == "Queued", "preempted"
    cluster.wait(10_000)
    cluster.run("tune")
    assert cluster.settle().requeue_after == 40, "60 of 100 s were used before"
    assert (cluster.stage("tune").attempt, cluster.stage("tune").failures) == (1, 0)
    cluster.wait(40)
    cluster.settle()
    assert cluster.stage("tune").attempts[-1].reason == "TimeoutExceeded"


def test_pods_that_are_lost_start_again_within_the_attempt() -> None:
    cluster = started(("stages.0.timeoutSeconds", 100))
    cluster.run("tune")
    cluster.settle()
    cluster.wait(30)
    cluster.see("tune", phase=ChildPhase.PENDING)
    cluster.settle()
    assert cluster.states()["tune"] == "Starting"
    cluster.run("tune")
    assert cluster.settle().requeue_after == 70


# suspension


def test_suspension_stops_what_runs_and_costs_nothing() -> None:
    cluster = started()
    cluster.run("tune")
    cluster.settle()
    name = cluster.child("tune").name
    cluster.edit(("suspend", True))
    cluster.settle()
    assert cluster.children == {}
    assert (cluster.status.phase, cluster.stage("tune").state) == ("Suspended", "Queued")
    assert cluster.stage("tune").reason == "Suspended"
    cluster.wait(10_000)
    assert cluster.settle().requeue_after is None

    cluster.edit(("suspend", False))
    cluster.settle()
    assert cluster.child("tune").name == name, "the same attempt"
    assert (cluster.stage("tune").state, cluster.stage("tune").failures) == ("Starting", 0)


def test_suspended_from_the_start_nothing_starts() -> None:
    cluster = started(("suspend", True))
    assert cluster.states() == {"tune": "Queued", "score": "Waiting", "chat": "Waiting"}
    assert cluster.children == {}


def test_a_job_that_finished_while_it_was_suspended_keeps_its_verdict_and_its_gates_stay_closed() -> None:
    cluster = started()
    cluster.complete("tune")
    cluster.run("score")
    cluster.settle()
    cluster.succeed("score")
    cluster.edit(("suspend", True))
    cluster.settle()
    assert cluster.states()["score"] == "Checking"
    assert cluster.children == {}
    cluster.edit(("suspend", False))
    cluster.settle()
    assert cluster.states()["score"] == "Succeeded"
    assert cluster.created[cluster.stage("chat").child.name] == 1


def test_what_a_job_finished_in_the_moment_of_an_edit_is_kept() -> None:
    cluster = started()
    cluster.succeed("tune")
    cluster.edit(("stages.0.fineTune.training.seed", 7))
    cluster.settle()
    assert (cluster.states()["tune"], len(cluster.stage("tune").results)) == ("Starting", 1)
    cluster.edit(("stages.0.fineTune.training.seed", 0))
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").reused) == ("Succeeded", True)


def test_a_suspended_endpoint_is_withdrawn_and_comes_back() -> None:
    cluster = SimulatedCluster().until_serving()
    served = cluster.status.serving
    cluster.edit(("suspend", True))
    cluster.settle()
    assert cluster.children == {}
    assert cluster.status.url == ""
    assert condition(cluster, "Available") == "False"
    cluster.edit(("suspend", False))
    cluster.settle()
    cluster.bring_up()
    assert cluster.states()["chat"] == "Serving"
    assert cluster.status.serving == served, "the same promotion"
    assert cluster.status.history == []


def test_suspension_during_a_pause_keeps_the_pause() -> None:
    cluster = started()
    cluster.fail("tune")
    cluster.settle()
    cluster.edit(("suspend", True))
    cluster.settle()
    assert cluster.stage("tune").reason == "RetryBackoff"
    cluster.wait(10)
    cluster.settle()
    assert cluster.stage("tune").reason == "Suspended"
    cluster.edit(("suspend", False))
    cluster.settle()
    assert cluster.stage("tune").attempt == 2


def test_a_queued_child_is_removed_when_it_is_suspended() -> None:
    cluster = started()
    cluster.see("tune", phase=ChildPhase.QUEUED)
    cluster.settle()
    cluster.edit(("suspend", True))
    cluster.settle()
    assert cluster.children == {}
    assert cluster.states()["tune"] == "Queued"


def test_an_endpoint_whose_workers_never_come_ends_with_what_they_wait_for() -> None:
    """Its head was there, so that it ran already."""
    cluster = started(("stages.2.pendingTimeoutSeconds", 60))
    cluster.complete("tune")
    cluster.complete("score")
    cluster.run("chat")
    cluster.settle()
    assert cluster.states()["chat"] == "Running"
    cluster.wait(1000)
    cluster.see("chat", phase=ChildPhase.PENDING, reason="AcceleratorsInUse", message="others use them")
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Starting", "AcceleratorsInUse")
    cluster.wait(60)
    cluster.settle()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason) == ("Failed", "PendingTimeoutExceeded")
    assert chat.message == "pods were pending for 60 s: others use them"


def test_what_pods_waited_for_is_told_where_kuberay_ends_the_waiting() -> None:
    cluster = started()
    cluster.see("tune", reason="Unschedulable", message="no node matches")
    cluster.settle()
    ends = {"phase": ChildPhase.FAILED, "reason": "PendingTimeoutExceeded", "message": "not running in time"}
    cluster.see("tune", **ends)
    cluster.settle()
    assert "not running in time: no node matches" in cluster.stage("tune").message


def test_leftovers_of_a_planner_that_was_late_are_removed() -> None:
    """A second operator, paused for long between its write and its action, creates what is no longer wanted."""
    cluster = started()
    stale = cluster.child("tune")
    cluster.fail("tune")
    cluster.settle()
    cluster.wait(10)
    cluster.settle()
    cluster.children[stale.name] = replace(stale, uid="late")
    cluster.settle()
    assert [child.attempt for child in cluster.children.values()] == [2]


def condition(cluster: SimulatedCluster, kind: str) -> str:
    return next(item.status for item in cluster.status.conditions if item.type == kind)
