"""Events that meet a stage in states where they are rare: each row is a way of the table that nothing else walks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from llmworkflow.api.names import Verb
from llmworkflow.core.observation import ChildPhase, Refused
from llmworkflow.core.plan import plan

from .simulator import SimulatedCluster, started
from .test_serving import serving, upgraded

Situation = Callable[[], SimulatedCluster]
Event = Callable[[SimulatedCluster], None]

RATE = "stages.0.fineTune.training.learningRate"
APPROVAL = {"required": True}


# situations


def pausing() -> SimulatedCluster:
    cluster = started()
    cluster.fail("tune")
    cluster.settle()
    return cluster


def held_without_retries() -> SimulatedCluster:
    cluster = started(("stages.0.retries", 0))
    cluster.see("tune", phase=ChildPhase.QUEUED)
    cluster.settle()
    return cluster


def running() -> SimulatedCluster:
    cluster = started()
    cluster.run("tune")
    cluster.settle()
    return cluster


def queued() -> SimulatedCluster:
    cluster = started()
    cluster.see("tune", phase=ChildPhase.QUEUED)
    cluster.settle()
    return cluster


def suspended() -> SimulatedCluster:
    cluster = running()
    cluster.edit(("suspend", True))
    cluster.settle()
    return cluster


def score_suspended() -> SimulatedCluster:
    cluster = started()
    cluster.complete("tune")
    cluster.edit(("suspend", True))
    cluster.settle()
    return cluster


def chat_suspended() -> SimulatedCluster:
    cluster = started()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.edit(("suspend", True))
    cluster.settle()
    return cluster


def score_checking() -> SimulatedCluster:
    """Its job is done, and its gates wait for the end of a suspension."""
    cluster = started()
    cluster.complete("tune")
    cluster.succeed("score")
    cluster.edit(("suspend", True))
    cluster.settle()
    return cluster


def chat_checking() -> SimulatedCluster:
    cluster = started()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.see("chat", phase=ChildPhase.READY)
    cluster.settle()
    return cluster


def awaiting(stage: int = 1) -> SimulatedCluster:
    cluster = started((f"stages.{stage}.approval", APPROVAL))
    cluster.complete("tune")
    cluster.complete("score")
    return cluster


def awaiting_with_child() -> SimulatedCluster:
    """The decision is asked for while the job's pods are still going."""
    cluster = started(("stages.1.approval", APPROVAL))
    cluster.complete("tune")
    cluster.succeed("score")
    cluster.plan()
    return cluster


def succeeded_with_child() -> SimulatedCluster:
    cluster = started()
    cluster.succeed("tune")
    cluster.plan()
    return cluster


def failed_with_child() -> SimulatedCluster:
    cluster = started()
    cluster.fail("tune", retryable=False)
    cluster.plan()
    return cluster


def cancelled() -> SimulatedCluster:
    cluster = started()
    cluster.ask(Verb.CANCEL, "tune#0")
    cluster.settle()
    return cluster


def upgrading() -> SimulatedCluster:
    return upgraded(serving())


def returning() -> SimulatedCluster:
    cluster = upgraded(serving(("stages.2.retries", 0)))
    cluster.verify(passed=False)
    cluster.settle()
    return cluster


def degraded() -> SimulatedCluster:
    cluster = serving()
    cluster.see("chat", phase=ChildPhase.UNHEALTHY)
    cluster.settle()
    return cluster


# events


def edit(path: str, value: object) -> Event:
    return lambda cluster: cluster.edit((path, value))


def ask(verb: Verb, stage: str) -> Event:
    return lambda cluster: cluster.ask(verb, f"{stage}#1")


def see(stage: str, **changes: object) -> Event:
    return lambda cluster: cluster.see(stage, **changes)


def lose(stage: str) -> Event:
    return lambda cluster: cluster.delete_by_hand(stage)


def both(*events: Event) -> Event:
    def happen(cluster: SimulatedCluster) -> None:
        for event in events:
            event(cluster)

    return happen


def approve_while_suspended(cluster: SimulatedCluster) -> None:
    cluster.edit(("suspend", True))
    cluster.decide(Verb.APPROVE, "chat")


def a_leftover_appears(cluster: SimulatedCluster) -> None:
    """A second operator that slept created what is no longer wanted; then somebody cancels or retries."""
    elsewhere = started()
    late = replace(elsewhere.child("tune"), uid="late")
    cluster.children[late.name] = late
    cluster.ask(Verb.RETRY, "tune#1")


FAILED = {"phase": ChildPhase.FAILED}


@pytest.mark.parametrize(
    ("situation", "event", "stage", "before", "after"),
    [
        (pausing, a_leftover_appears, "tune", "Waiting", "Stopping"),
        (score_suspended, both(edit("suspend", False), edit(RATE, 1e-3)), "score", "Queued", "Waiting"),
        (chat_suspended, edit("stages.2.approval", APPROVAL), "chat", "Queued", "AwaitingApproval"),
        (queued, see("tune", **FAILED, permanent=True), "tune", "Starting", "Failed"),
        (suspended, ask(Verb.CANCEL, "tune"), "tune", "Queued", "Cancelled"),
        (started, both(lose("tune"), ask(Verb.CANCEL, "tune")), "tune", "Starting", "Cancelled"),
        (running, both(lose("tune"), ask(Verb.CANCEL, "tune")), "tune", "Running", "Cancelled"),
        (chat_checking, see("chat", phase=ChildPhase.PENDING), "chat", "Checking", "Starting"),
        (chat_checking, see("chat", phase=ChildPhase.QUEUED), "chat", "Checking", "Queued"),
        (chat_checking, lose("chat"), "chat", "Checking", "Waiting"),
        (chat_checking, edit("suspend", True), "chat", "Checking", "Stopping"),
        (score_checking, ask(Verb.CANCEL, "score"), "score", "Checking", "Cancelled"),
        (lambda: awaiting(2), approve_while_suspended, "chat", "AwaitingApproval", "Queued"),
        (awaiting, edit(RATE, 1e-3), "score", "AwaitingApproval", "Waiting"),
        (awaiting_with_child, edit(RATE, 1e-3), "score", "AwaitingApproval", "Stopping"),
        (awaiting, ask(Verb.CANCEL, "score"), "score", "AwaitingApproval", "Cancelled"),
        (succeeded_with_child, edit(RATE, 1e-3), "tune", "Succeeded", "Stopping"),
        (failed_with_child, edit(RATE, 1e-3), "tune", "Failed", "Stopping"),
        (cancelled, a_leftover_appears, "tune", "Cancelled", "Stopping"),
        (serving, both(lose("chat"), ask(Verb.CANCEL, "chat")), "chat", "Serving", "Cancelled"),
        (held_without_retries, lose("tune"), "tune", "Queued", "Failed"),
        (upgrading, see("chat", phase=ChildPhase.QUEUED), "chat", "Upgrading", "Queued"),
        (upgrading, lose("chat"), "chat", "Upgrading", "Waiting"),
        (upgrading, edit("suspend", True), "chat", "Upgrading", "Stopping"),
        (upgrading, both(lose("chat"), ask(Verb.CANCEL, "chat")), "chat", "Upgrading", "Cancelled"),
        (returning, see("chat", **FAILED), "chat", "Upgrading", "Failed"),
        (degraded, ask(Verb.RETRY, "chat"), "chat", "Degraded", "Upgrading"),
        (started, edit("ray.worker", {"cpu": 8}), "tune", "Starting", "Stopping"),
        (queued, edit("ray.queue", "team-b"), "tune", "Queued", "Stopping"),
        (degraded, see("chat", phase=ChildPhase.QUEUED), "chat", "Degraded", "Queued"),
        (degraded, lose("chat"), "chat", "Degraded", "Waiting"),
        (degraded, edit("suspend", True), "chat", "Degraded", "Stopping"),
        (degraded, both(lose("chat"), ask(Verb.CANCEL, "chat")), "chat", "Degraded", "Cancelled"),
    ],
)
def test_interruptions(situation: Situation, event: Event, stage: str, before: str, after: str) -> None:
    cluster = situation()
    event(cluster)
    planned = cluster.plan()
    assert (before, after) in [
        (step.before, step.after) for step in planned.transitions if step.stage == stage
    ]
    cluster.settle()


def test_a_stage_that_was_suspended_takes_what_was_done_before_when_it_resumes() -> None:
    cluster = started()
    cluster.complete("tune")
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.edit(("suspend", True))
    cluster.settle()
    cluster.edit((RATE, 1e-4))
    cluster.settle()
    assert cluster.states()["tune"] == "Queued"
    cluster.edit(("suspend", False))
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").reused) == ("Succeeded", True)


def test_a_child_that_cannot_be_made_is_explained_where_it_starts() -> None:
    cluster = SimulatedCluster()
    cluster.write(cluster.look_and_plan())
    child = cluster.stage("tune").child
    assert child is not None
    refused = {child.name: Refused("QuotaExceeded", "raise the quota")}
    observed = replace(cluster.observed(), refused=refused)
    explained = plan(cluster.workflow, cluster.status, observed, cluster.now).status.stages[0]
    assert (explained.state, explained.reason, explained.message) == (
        "Starting",
        "QuotaExceeded",
        "raise the quota",
    )


def test_who_holds_a_child_back() -> None:
    cluster = started(("ray.queue", "team-a"))
    cluster.see("tune", phase=ChildPhase.QUEUED)
    cluster.settle()
    assert cluster.stage("tune").message.endswith("its queue team-a; see that LocalQueue and its Workload")


def test_what_the_pods_of_an_endpoint_that_served_wait_for() -> None:
    cluster = degraded()
    cluster.see("chat", phase=ChildPhase.PENDING, reason="AcceleratorUnavailable", message="no such node")
    cluster.settle()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason, chat.message) == ("Degraded", "AcceleratorUnavailable", "no such node")


def test_settings_that_are_edited_while_a_job_runs_are_those_of_its_next_attempt() -> None:
    cluster = running()
    before = cluster.child("tune")
    cluster.edit(("ray.worker", {"cpu": 8}))
    cluster.settle()
    assert (cluster.states()["tune"], cluster.child("tune")) == ("Running", before)
