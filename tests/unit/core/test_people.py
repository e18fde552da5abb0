"""What people ask for by annotations, each carried out once."""

from __future__ import annotations

import pytest

from llmworkflow.api.names import ANNOTATION_USER, Verb
from llmworkflow.api.spec.workflow import Metadata
from llmworkflow.core.requests import Request, pending

from .builders import score, workflow
from .simulator import SimulatedCluster

APPROVAL = ("stages.1.approval", {"required": True})
CHAT_APPROVAL = ("stages.2.approval", {"required": True})


def scored(*edits: tuple[str, object]) -> SimulatedCluster:
    cluster = SimulatedCluster(workflow(*edits))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    return cluster


@pytest.mark.parametrize(
    ("text", "stage", "revision", "token"),
    [
        ("score@abc123#t1", "score", "abc123", "t1"),
        ("score@#t1", "score", "", "t1"),
        ("score#t1", "score", "", "t1"),
        ("*#2026-01-01T00:00:00Z", "*", "", "2026-01-01T00:00:00Z"),
        (" score@abc#t \n", "score", "abc", "t"),
    ],
)
def test_requests_are_read(text: str, stage: str, revision: str, token: str) -> None:
    metadata = Metadata(name="viggo", annotations={"llmworkflow.io/retry": text, ANNOTATION_USER: "ann"})
    assert list(pending(metadata, {}, verified=True)) == [
        Request(Verb.RETRY, stage, revision, token, "ann", verified=True)
    ]
    assert list(pending(metadata, {"retry": token}, verified=True)) == []


@pytest.mark.parametrize(
    "text", ["", "score", "score@abc", "#t1", "Score@abc#t1", "score@ABC#t", "a b#c", "score#a b"]
)
def test_what_has_another_form_is_no_request(text: str) -> None:
    metadata = Metadata(name="viggo", annotations={"llmworkflow.io/retry": text})
    assert list(pending(metadata, {}, verified=False)) == []


# approval


def test_approval_is_asked_for_after_the_gates_and_recorded() -> None:
    cluster = scored(APPROVAL)
    stage = cluster.stage("score")
    assert (stage.state, stage.reason) == ("AwaitingApproval", "ApprovalRequired")
    assert stage.message == f"approve score@{stage.revision} to go on, or reject it"
    assert (cluster.status.phase, cluster.status.stage) == ("AwaitingApproval", "score")
    assert cluster.children == {}, "nobody's decision holds a GPU"
    cluster.user_verified = True
    cluster.ask(Verb.APPROVE, f"score@{stage.revision}#1", user="ann")
    cluster.settle()
    record = cluster.stage("score").approval
    assert (record.approved, record.user, record.verified) == (True, "ann", True)
    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Starting"}
    assert cluster.status.last_handled == {"approve": "1"}


def test_a_user_is_unverified_unless_the_shell_vouches() -> None:
    cluster = scored(APPROVAL)
    cluster.ask(Verb.APPROVE, f"score@{cluster.stage('score').revision}#1", user="somebody")
    cluster.settle()
    assert not cluster.stage("score").approval.verified


@pytest.mark.parametrize(
    "request_of", ["score@000000000000#1", "score#1", "tune@{revision}#1", "nothing@{revision}#1"]
)
def test_approval_of_anything_else_is_none(request_of: str) -> None:
    cluster = scored(APPROVAL)
    cluster.ask(Verb.APPROVE, request_of.format(revision=cluster.stage("score").revision))
    cluster.settle()
    assert cluster.states()["score"] == "AwaitingApproval"
    assert cluster.status.last_handled == {"approve": "1"}, "done once, also where it does nothing"


def test_approval_before_there_is_anything_to_see_is_none() -> None:
    cluster = SimulatedCluster(workflow(APPROVAL))
    cluster.settle()
    cluster.complete("tune")
    cluster.ask(Verb.APPROVE, f"score@{cluster.stage('score').revision}#1")
    cluster.settle()
    cluster.complete("score")
    assert cluster.states()["score"] == "AwaitingApproval"


def test_rejection_fails_and_can_be_taken_back() -> None:
    cluster = scored(APPROVAL)
    revision = cluster.stage("score").revision
    cluster.ask(Verb.REJECT, f"score@{revision}#1", user="ann")
    cluster.settle()
    stage = cluster.stage("score")
    assert (stage.state, stage.reason) == ("Failed", "Rejected")
    assert stage.message.startswith("rejected by ann; ")
    cluster.ask(Verb.APPROVE, f"score@{revision}#2", user="bob")
    cluster.settle()
    assert cluster.states()["score"] == "Succeeded"


def test_a_decision_made_during_suspension_takes_effect_afterwards() -> None:
    cluster = scored(APPROVAL)
    cluster.edit(("suspend", True))
    cluster.settle()
    cluster.ask(Verb.APPROVE, f"score@{cluster.stage('score').revision}#1")
    cluster.settle()
    assert cluster.states()["score"] == "AwaitingApproval"
    cluster.edit(("suspend", False))
    cluster.settle()
    assert cluster.states()["score"] == "Succeeded"


def test_approval_is_asked_for_again_after_a_run_of_the_same_revision() -> None:
    cluster = scored(APPROVAL)
    revision = cluster.stage("score").revision
    cluster.ask(Verb.APPROVE, f"score@{revision}#1")
    cluster.settle()
    cluster.ask(Verb.RETRY, "score#1")
    cluster.settle()
    cluster.complete("score")
    assert (cluster.stage("score").state, cluster.stage("score").revision) == ("AwaitingApproval", revision)


def test_dropping_the_requirement_goes_on() -> None:
    cluster = scored(APPROVAL)
    cluster.edit(("stages.1.approval", {"required": False}))
    cluster.settle()
    assert cluster.states()["score"] == "Succeeded"


def test_a_promotion_needs_consent_before_it_is_served() -> None:
    cluster = scored(CHAT_APPROVAL)
    chat = cluster.stage("chat")
    assert chat.state == "AwaitingApproval"
    cluster.decide(Verb.APPROVE, "chat", user="ann")
    cluster.settle()
    cluster.bring_up()
    assert cluster.status.serving.user == "ann"

    cluster.edit(("stages.0.fineTune.training.seed", 7))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason) == ("Serving", "ApprovalRequired")
    assert cluster.status.phase == "AwaitingApproval"
    cluster.decide(Verb.REJECT, "chat")
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Serving", "Rejected")
    cluster.decide(Verb.APPROVE, "chat", "2")
    cluster.settle()
    assert cluster.states()["chat"] == "Upgrading"


def test_a_promotion_under_way_stops_when_consent_becomes_required() -> None:
    cluster = scored()
    assert cluster.states()["chat"] == "Starting"
    cluster.edit(CHAT_APPROVAL)
    cluster.settle()
    assert cluster.states()["chat"] == "AwaitingApproval"
    assert cluster.children == {}


def test_consent_outlives_a_suspension() -> None:
    cluster = scored(CHAT_APPROVAL)
    cluster.decide(Verb.APPROVE, "chat")
    cluster.settle()
    cluster.edit(("suspend", True))
    cluster.settle()
    cluster.edit(("suspend", False))
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"


def test_a_promotion_names_who_agreed_to_the_score() -> None:
    cluster = scored(APPROVAL)
    cluster.ask(Verb.APPROVE, f"score@{cluster.stage('score').revision}#1", user="ann")
    cluster.settle()
    cluster.bring_up()
    assert cluster.status.serving.user == "ann"


def test_a_first_promotion_that_is_rejected_fails() -> None:
    cluster = scored(CHAT_APPROVAL)
    cluster.decide(Verb.REJECT, "chat")
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Failed", "Rejected")
    cluster.decide(Verb.APPROVE, "chat", "2")
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"


# retry


def test_a_retry_runs_a_stage_and_what_depends_on_it_again() -> None:
    cluster = SimulatedCluster().until_serving()
    first = cluster.status.serving
    cluster.ask(Verb.RETRY, "tune#1")
    cluster.settle()
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Serving"}
    assert cluster.stage("tune").revision == first.inputs["tune"].revision
    assert cluster.stage("tune").attempt == 2
    cluster.complete("tune")
    assert (cluster.states()["score"], cluster.stage("score").attempt) == ("Starting", 2)
    cluster.complete("score")
    assert cluster.states()["chat"] == "Upgrading", "the artifact is another one"
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving.revision == first.revision
    assert cluster.status.serving.inputs["tune"].attempt == 2
    assert cluster.status.history == [first]


def test_a_retry_gives_a_failed_stage_all_its_attempts_again() -> None:
    cluster = SimulatedCluster(workflow(("stages.0.retries", 0)))
    cluster.settle()
    cluster.fail("tune")
    cluster.settle()
    cluster.ask(Verb.RETRY, "*#1")
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").attempt) == ("Starting", 2)
    assert cluster.stage("tune").failures == 0
    assert cluster.states()["score"] == "Waiting"
    cluster.settle()
    assert cluster.stage("tune").attempt == 2, "done once"


def test_a_retry_stops_what_runs() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.run("tune")
    cluster.settle()
    cluster.ask(Verb.RETRY, "tune#1")
    cluster.plan()
    assert cluster.states()["tune"] == "Stopping"
    cluster.finish_deletions()
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").attempt) == ("Starting", 2)


def test_a_retry_of_an_old_revision_does_nothing() -> None:
    cluster = SimulatedCluster().until_serving()
    cluster.ask(Verb.RETRY, "tune@000000000000#1")
    assert cluster.plan().transitions == ()


def test_a_retry_of_a_gate_that_failed_measures_again() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score", score(0.1))
    cluster.ask(Verb.RETRY, "score#1")
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Starting", "chat": "Waiting"}


def test_a_retry_of_what_serves_verifies_it_again() -> None:
    cluster = SimulatedCluster().until_serving()
    before = cluster.status.serving
    cluster.ask(Verb.RETRY, "chat#1")
    cluster.settle()
    assert cluster.states()["chat"] == "Upgrading"
    cluster.verify()
    cluster.settle()
    assert cluster.states()["chat"] == "Serving"
    assert cluster.status.serving == before


# cancel


def test_cancel_removes_the_child_and_stays() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.run("tune")
    cluster.settle()
    cluster.ask(Verb.CANCEL, "tune#1", user="ann")
    cluster.plan()
    assert cluster.states()["tune"] == "Stopping"
    cluster.finish_deletions()
    cluster.settle()
    assert cluster.children == {}
    tune = cluster.stage("tune")
    assert (tune.state, tune.reason) == ("Cancelled", "CancelledByUser")
    assert tune.message.startswith("cancelled by ann; ")
    assert cluster.status.phase == "Cancelled"
    cluster.wait(10_000)
    assert cluster.look_and_plan().actions == ()


def test_cancel_everything_withdraws_what_serves_and_keeps_what_is_done() -> None:
    cluster = SimulatedCluster().until_serving()
    cluster.ask(Verb.CANCEL, "*#1")
    cluster.settle()
    assert cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Cancelled"}
    assert cluster.children == {}
    assert cluster.status.serving is None
    assert len(cluster.status.history) == 1
    cluster.ask(Verb.RETRY, "chat#1")
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"


@pytest.mark.parametrize("change", ["retry", "edit", "settings"])
def test_a_cancelled_stage_is_revived(change: str) -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.ask(Verb.CANCEL, "*#1")
    cluster.settle()
    assert set(cluster.states().values()) == {"Cancelled"}
    if change == "retry":
        cluster.ask(Verb.RETRY, "*#1")
    elif change == "edit":
        cluster.edit(("stages.0.fineTune.training.seed", 7))
    else:
        cluster.edit(("ray.worker", {"memory": "64Gi"}))
    cluster.settle()
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Waiting"}


def test_suspension_and_resumption_do_not_revive_what_was_cancelled() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.ask(Verb.CANCEL, "tune#1")
    cluster.settle()
    cluster.edit(("suspend", True))
    cluster.settle()
    cluster.edit(("suspend", False))
    cluster.settle()
    assert cluster.states()["tune"] == "Cancelled"


def test_a_retry_overtakes_a_cancel_that_is_under_way() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.run("tune")
    cluster.settle()
    cluster.ask(Verb.CANCEL, "tune#1")
    cluster.plan()
    cluster.ask(Verb.RETRY, "tune#1")
    cluster.settle()
    assert (cluster.states()["tune"], cluster.stage("tune").attempt) == ("Starting", 2)
