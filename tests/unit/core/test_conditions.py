"""Phase and conditions by where the stages stand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llmworkflow.api.names import ConditionType, Verb
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.conditions import stalled
from llmworkflow.core.observation import ChildPhase

from .builders import START, workflow
from .simulator import SimulatedCluster, started

NO_SERVICE = (
    "stages",
    workflow().spec.model_dump(mode="json", by_alias=True, exclude_unset=True)["stages"][:2],
)


def finished() -> SimulatedCluster:
    cluster = SimulatedCluster(workflow(NO_SERVICE))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    return cluster


def failed() -> SimulatedCluster:
    cluster = started()
    cluster.fail("tune", retryable=False)
    cluster.settle()
    return cluster


def pausing() -> SimulatedCluster:
    cluster = started()
    cluster.fail("tune")
    cluster.settle()
    return cluster


def queued() -> SimulatedCluster:
    cluster = started()
    cluster.see("tune", phase=ChildPhase.QUEUED)
    cluster.settle()
    return cluster


def suspended() -> SimulatedCluster:
    cluster = started()
    cluster.edit(("suspend", True))
    cluster.settle()
    return cluster


def finished_and_suspended() -> SimulatedCluster:
    cluster = finished()
    cluster.edit(("suspend", True))
    cluster.settle()
    return cluster


def ended(situation: Callable[[], SimulatedCluster]) -> Callable[[], SimulatedCluster]:
    """The run on one machine ended there."""

    def after() -> SimulatedCluster:
        cluster = situation()
        cluster.ending = True
        cluster.settle()
        return cluster

    return after


def cancelled() -> SimulatedCluster:
    cluster = started()
    cluster.ask(Verb.CANCEL, "tune#t1")
    cluster.settle()
    return cluster


def degraded() -> SimulatedCluster:
    cluster = SimulatedCluster().until_serving()
    cluster.see("chat", phase=ChildPhase.UNHEALTHY)
    cluster.settle()
    return cluster


def awaiting() -> SimulatedCluster:
    cluster = SimulatedCluster(workflow(("stages.1.approval", {"required": True})))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    return cluster


def serving() -> SimulatedCluster:
    return SimulatedCluster().until_serving()


@pytest.mark.parametrize(
    ("situation", "phase", "stage", "true"),
    [
        (started, "Running", "tune", {"Progressing"}),
        (queued, "Running", "tune", {"Progressing"}),
        (pausing, "Running", "tune", {"Progressing"}),
        (finished, "Succeeded", "score", {"Ready", "Succeeded"}),
        (serving, "Serving", "chat", {"Ready", "Available"}),
        (failed, "Failed", "tune", {"Stalled", "Failed"}),
        (suspended, "Suspended", "tune", set()),
        (finished_and_suspended, "Succeeded", "score", {"Ready", "Succeeded"}),
        (degraded, "Degraded", "chat", {"Progressing"}),
        (awaiting, "AwaitingApproval", "score", set()),
        (ended(started), "Stopped", "tune", set()),
        (ended(serving), "Stopped", "chat", set()),
        (ended(finished), "Succeeded", "score", {"Ready", "Succeeded"}),
        (ended(failed), "Failed", "tune", {"Stalled", "Failed"}),
        (ended(cancelled), "Cancelled", "tune", {"Stalled"}),
        (ended(suspended), "Suspended", "tune", set()),
        (ended(awaiting), "AwaitingApproval", "score", set()),
    ],
)
def test_situations(
    situation: Callable[[], SimulatedCluster], phase: str, stage: str, true: set[str]
) -> None:
    status = situation().status
    assert (status.phase, status.stage) == (phase, stage)
    assert {item.type for item in status.conditions if item.status == "True"} == true
    assert [item.type for item in status.conditions] == [kind.value for kind in ConditionType]
    assert all(
        item.reason and item.observed_generation == status.observed_generation for item in status.conditions
    )


def test_an_ended_run_says_how_to_go_on_and_the_next_one_does() -> None:
    cluster = ended(serving)()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason) == ("Queued", "RunEnded")
    assert "`llmworkflow run FILE --local` goes on" in chat.message
    cluster.ending = False
    cluster.settle()
    assert cluster.stage("chat").state == "Starting"
    assert cluster.status.phase == "Running"


def test_the_time_of_a_condition_changes_with_its_status_only() -> None:
    cluster = started()
    first = {item.type: item.last_transition_time for item in cluster.status.conditions}
    cluster.wait(60)
    cluster.run("tune")
    cluster.settle()
    assert {item.type: item.last_transition_time for item in cluster.status.conditions} == first
    cluster.wait(60)
    cluster.fail("tune", retryable=False)
    cluster.settle()
    changed = {
        item.type for item in cluster.status.conditions if item.last_transition_time != first[item.type]
    }
    assert changed == {"Progressing", "Stalled", "Failed"}


def test_a_spec_that_cannot_be_planned_is_said_and_changes_nothing_else() -> None:
    before = serving().status
    after = stalled(before, 7, "InvalidSpec", "spec.stages[0].gates: unknown metric", START)
    assert (after.phase, after.observed_generation, after.stages) == ("Stalled", 7, before.stages)
    truths = {item.type: (item.status, item.reason) for item in after.conditions}
    assert truths["Stalled"] == ("True", "InvalidSpec")
    assert truths["Ready"] == ("False", "InvalidSpec")
    assert truths["Available"] == ("True", "EndpointVerified"), "what serves goes on serving"
    assert stalled(after, 7, "InvalidSpec", "spec.stages[0].gates: unknown metric", START) == after


def test_a_spec_that_was_never_planned_can_be_stalled() -> None:
    after = stalled(LLMWorkflowStatus(), 1, "InvalidSpec", "no", START)
    assert [item.type for item in after.conditions] == ["Ready", "Progressing", "Stalled"]
