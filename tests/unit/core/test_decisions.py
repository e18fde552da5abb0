"""A decision on an endpoint holds for the models that were looked at, and for no others of their revision."""

from __future__ import annotations

import pytest

from llmworkflow.api.names import Verb
from llmworkflow.core.asking import decided_on

from .builders import workflow
from .simulator import SimulatedCluster

APPROVAL = ("stages.2.approval", {"required": True})
NIGHTLY = ("schedule", {"cron": "0 3 * * *"})
NIGHT = 24 * 3600


def run_through(cluster: SimulatedCluster) -> SimulatedCluster:
    for stage in ("tune", "score"):
        cluster.complete(stage)
    return cluster


def awaiting(*edits: tuple[str, object]) -> SimulatedCluster:
    cluster = SimulatedCluster(workflow(APPROVAL, *edits))
    cluster.settle()
    return run_through(cluster)


def serving(*edits: tuple[str, object]) -> SimulatedCluster:
    cluster = awaiting(*edits)
    cluster.decide(Verb.APPROVE, "chat", "first")
    cluster.settle()
    cluster.bring_up()
    return cluster


def stands(cluster: SimulatedCluster) -> tuple[str, str]:
    chat = cluster.stage("chat")
    return chat.state.value, chat.reason


def retrain(cluster: SimulatedCluster, token: str) -> None:
    cluster.ask(Verb.RETRY, f"tune#{token}")
    cluster.settle()
    run_through(cluster)


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.REJECT])
@pytest.mark.parametrize("begin", [awaiting, serving])
def test_a_decision_on_one_model_is_none_on_the_next_of_its_revision(
    verb: Verb, begin: type[SimulatedCluster]
) -> None:
    cluster = begin()
    retrain(cluster, "1")
    looked_at = decided_on(cluster.workflow, cluster.status, "chat")
    retrain(cluster, "2")
    before = stands(cluster)
    assert before[1] == "ApprovalRequired"
    cluster.ask(verb, f"chat@{looked_at}#late")
    cluster.settle()
    assert stands(cluster) == before
    cluster.decide(verb, "chat", "now")
    cluster.settle()
    assert stands(cluster) != before


def test_a_bare_revision_says_not_which_model_is_meant() -> None:
    cluster = awaiting()
    cluster.ask(Verb.APPROVE, f"chat@{cluster.stage('chat').revision}#1")
    cluster.settle()
    assert stands(cluster) == ("AwaitingApproval", "ApprovalRequired")


def test_a_rejection_holds_for_what_was_looked_at_and_not_for_the_next_night() -> None:
    cluster = serving(NIGHTLY)
    for night in ("1", "2"):
        cluster.wait(NIGHT)
        cluster.settle()
        run_through(cluster)
        assert stands(cluster) == ("Serving", "ApprovalRequired")
        cluster.decide(Verb.REJECT, "chat", night)
        cluster.settle()
        assert stands(cluster) == ("Serving", "Rejected")


@pytest.mark.parametrize("first", ["tune", "score"])
def test_after_a_rejection_a_run_that_is_asked_for_is_decided_on_again(first: str) -> None:
    cluster = serving()
    retrain(cluster, "1")
    cluster.decide(Verb.REJECT, "chat")
    cluster.settle()
    cluster.ask(Verb.RETRY, f"{first}#2")
    cluster.settle()
    if first == "tune":
        cluster.complete("tune")
    cluster.complete("score")
    assert stands(cluster) == ("Serving", "ApprovalRequired")
