"""What a person may ask for, and what is said where it does not fit."""

from __future__ import annotations

import pytest

from llmworkflow.api.names import Verb
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.asking import NothingToDoError, annotations, ask, run_again, tried_again
from llmworkflow.core.requests import EVERY_STAGE, Request, pending

from .builders import workflow
from .endpoints import serving, upgraded
from .simulator import SimulatedCluster, started

APPROVALS = (("stages.1.approval", {"required": True}), ("stages.2.approval", {"required": True}))


def scored(*edits: tuple[str, object]) -> SimulatedCluster:
    cluster = SimulatedCluster(workflow(*edits))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    return cluster


def act(cluster: SimulatedCluster, verb: Verb, stage: str | None = None, revision: str = "") -> None:
    """Ask as a command does."""
    named, revision = ask(cluster.workflow, cluster.status, verb, stage, revision)
    made = annotations(verb, named, revision, token="t", user="ann", note="it reads well")
    metadata = cluster.workflow.metadata.model_copy(update={"annotations": made})
    cluster.workflow = cluster.workflow.model_copy(update={"metadata": metadata})
    cluster.settle()


def test_what_is_written_is_what_the_planner_reads() -> None:
    made = annotations(Verb.APPROVE, "score", "abc", token="t1", user="ann", note="good")
    metadata = workflow(annotations=made).metadata
    assert list(pending(metadata, {}, verified=True)) == [
        Request(Verb.APPROVE, "score", "abc", "t1", "ann", verified=True, note="good")
    ]


@pytest.mark.parametrize(
    ("verb", "state"), [(Verb.APPROVE, "Succeeded"), (Verb.REJECT, "Failed")], ids=["approve", "reject"]
)
def test_the_stage_that_awaits_is_meant(verb: Verb, state: str) -> None:
    cluster = scored(APPROVALS[0])
    act(cluster, verb)
    stage = cluster.stage("score")
    assert stage.state == state
    assert (stage.approval.user, stage.approval.note) == ("ann", "it reads well")


def test_a_rejection_is_taken_back() -> None:
    cluster = scored(APPROVALS[0])
    act(cluster, Verb.REJECT)
    cluster.status = cluster.status.model_copy(update={"last_handled": {}})
    cluster.workflow = workflow(*APPROVALS[:1])
    act(cluster, Verb.APPROVE)
    assert cluster.states()["score"] == "Succeeded"


def test_a_serving_stage_is_approved_by_what_its_message_names() -> None:
    cluster = scored(APPROVALS[1])
    assert cluster.states()["chat"] == "AwaitingApproval"
    asked = ask(cluster.workflow, cluster.status, Verb.APPROVE, None)
    assert cluster.stage("chat").message == f"approve {'@'.join(asked)} to serve it, or reject it"
    act(cluster, Verb.APPROVE)
    assert cluster.states()["chat"] == "Starting"


def test_retry_without_a_stage_is_for_all_that_failed() -> None:
    cluster = scored(("stages.1.gates.0.min", 1.01))
    assert cluster.states()["score"] == "Failed"
    assert ask(cluster.workflow, cluster.status, Verb.RETRY, None) == ("*", "")
    assert ask(cluster.workflow, cluster.status, Verb.RETRY, "tune") == ("tune", "")
    act(cluster, Verb.RETRY)
    assert cluster.states()["score"] == "Starting"


def test_what_runs_is_cancelled() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    act(cluster, Verb.CANCEL, "tune")
    assert cluster.states()["tune"] == "Cancelled"


@pytest.mark.parametrize(
    ("verb", "stage", "told"),
    [
        (Verb.APPROVE, None, "no stage to approve: tune is Succeeded"),
        (Verb.APPROVE, "score", "stage score of viggo does not await approval: it is Succeeded"),
        (Verb.APPROVE, "scores", "viggo has no stage scores; its stages are tune, score, chat"),
        (Verb.REJECT, "chat", "does not await approval: it is Starting"),
        (Verb.CANCEL, "tune", "has ended: it is Succeeded"),
        (Verb.RETRY, None, "no stage to retry"),
        (Verb.ROLLBACK, "chat", "serves nothing now: it is Starting"),
        (Verb.ROLLBACK, "tune", "serves nothing now"),
    ],
)
def test_what_does_not_fit_is_refused_with_where_it_stands(verb: Verb, stage: str | None, told: str) -> None:
    cluster = scored()
    with pytest.raises(NothingToDoError, match=told):
        ask(cluster.workflow, cluster.status, verb, stage)


@pytest.mark.parametrize(
    ("revision", "told"),
    [("", "served nothing before"), ("abc", "never served revision abc; it served")],
)
def test_a_rollback_needs_something_to_go_back_to(revision: str, told: str) -> None:
    cluster = SimulatedCluster().until_serving()
    with pytest.raises(NothingToDoError, match=told):
        ask(cluster.workflow, cluster.status, Verb.ROLLBACK, None, revision)


def test_a_rollback_to_what_serves_is_refused_unless_it_turns_a_successor_down() -> None:
    cluster = upgraded(serving())
    first = cluster.status.serving
    assert first is not None
    asked = ask(cluster.workflow, cluster.status, Verb.ROLLBACK, None, first.revision)
    assert asked == ("chat", first.revision)
    cluster.verify()
    cluster.settle()
    second = cluster.status.serving
    assert second is not None
    with pytest.raises(NothingToDoError, match=f"stage chat serves revision {second.revision} already"):
        ask(cluster.workflow, cluster.status, Verb.ROLLBACK, None, second.revision)


def test_a_rollback_goes_back_to_an_earlier_attempt_of_the_same_revision() -> None:
    cluster = serving()
    cluster.ask(Verb.RETRY, "tune#1")
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.verify()
    cluster.settle()
    act(cluster, Verb.ROLLBACK)
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving is not None
    assert cluster.status.serving.inputs["tune"].attempt == 1


def test_a_request_is_not_written_over_one_that_waits() -> None:
    cluster = scored(APPROVALS[0])
    waiting = annotations(Verb.APPROVE, "score", "abc", token="t1", user="ann")
    asked = workflow(APPROVALS[0], annotations=waiting)
    with pytest.raises(NothingToDoError, match="approve of stage score was asked for and waits"):
        ask(asked, cluster.status, Verb.APPROVE, "score")


def test_a_workflow_that_has_not_begun_is_told() -> None:
    with pytest.raises(NothingToDoError, match="it has not begun"):
        ask(workflow(), LLMWorkflowStatus(), Verb.APPROVE, None)
    with pytest.raises(NothingToDoError, match="has not begun: there is nothing to cancel"):
        ask(workflow(), LLMWorkflowStatus(), Verb.CANCEL, "tune")


def test_another_run_tries_what_failed_at_work_again() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    assert run_again(cluster.workflow, cluster.status) is None
    cluster.fail("tune", "FileNotFound", "./later.csv does not exist", retryable=False)
    cluster.settle()
    assert tried_again(cluster.workflow, cluster.status) == ["tune"]
    assert run_again(cluster.workflow, cluster.status) == EVERY_STAGE
    act(cluster, Verb.RETRY)
    assert cluster.stage("tune").state == "Starting"
    assert run_again(cluster.workflow, cluster.status) is None


def failed() -> SimulatedCluster:
    """Its first stage has failed for good."""
    cluster = started()
    cluster.fail("tune", retryable=False)
    cluster.settle()
    return cluster


def test_another_run_waits_for_a_retry_that_was_asked_for() -> None:
    cluster = failed()
    cluster.ask(Verb.RETRY, "tune#1")
    assert run_again(cluster.workflow, cluster.status) is None


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.CANCEL])
def test_another_run_leaves_what_people_decided(verb: Verb) -> None:
    cluster = scored(APPROVALS[0])
    act(cluster, verb, "score")
    assert run_again(cluster.workflow, cluster.status) is None


def test_another_run_leaves_what_a_gate_judged_and_what_an_edit_begins_anew() -> None:
    cluster = SimulatedCluster(workflow(("stages.1.gates", [{"metric": "exactMatch", "min": 1.0}])))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    assert (cluster.stage("score").state, cluster.stage("score").reason) == ("Failed", "GateNotMet")
    assert run_again(cluster.workflow, cluster.status) is None

    cluster = failed()
    cluster.edit(("stages.0.fineTune.training.seed", 7))
    assert run_again(cluster.workflow, cluster.status) is None


def test_of_what_failed_beside_what_was_cancelled_the_first_is_tried_again() -> None:
    cluster = failed()
    act(cluster, Verb.CANCEL, "score")
    assert run_again(cluster.workflow, cluster.status) == "tune"
