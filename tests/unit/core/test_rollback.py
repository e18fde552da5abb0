"""Rollback and the history of promotions."""

from __future__ import annotations

from llmworkflow.api.names import Verb
from llmworkflow.core.actions import ApplyService
from llmworkflow.core.observation import ChildPhase

from .test_serving import RATE, conditions, serving, upgraded


def test_a_rollback_goes_back_in_place_and_stays_until_the_spec_changes() -> None:
    cluster = upgraded(serving())
    first = cluster.status.serving
    cluster.verify()
    cluster.settle()
    second = cluster.status.serving
    cluster.ask(Verb.ROLLBACK, "chat@#1", user="ann")
    planned = cluster.plan()
    assert [type(action) for action in planned.actions] == [ApplyService]
    cluster.settle()
    cluster.verify()
    cluster.settle()
    now = cluster.status.serving
    assert (now.revision, now.pinned, now.user) == (first.revision, True, "ann")
    assert cluster.status.history == [second]
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Serving", "RolledBack")
    assert conditions(cluster)["Ready"] == "False"
    assert conditions(cluster)["Available"] == "True"
    assert conditions(cluster)["Failed"] == "False"
    cluster.wait(3600)
    assert cluster.look_and_plan().actions == ()

    upgraded(cluster, rate=5e-3)
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving.revision not in (first.revision, second.revision)
    assert not cluster.status.serving.pinned
    assert [old.revision for old in cluster.status.history] == [first.revision, second.revision]
    assert conditions(cluster)["Ready"] == "True"


def test_a_rollback_can_name_what_it_goes_back_to() -> None:
    cluster = serving()
    first = cluster.status.serving
    for rate in (1e-3, 2e-3):
        upgraded(cluster, rate)
        cluster.verify()
        cluster.settle()
    cluster.ask(Verb.ROLLBACK, f"chat@{first.revision}#1")
    cluster.settle()
    assert cluster.works["viggo-chat"].revision == first.revision


def test_a_rollback_during_an_upgrade_takes_the_successor_back() -> None:
    cluster = upgraded(serving())
    first = cluster.status.serving
    cluster.ask(Verb.ROLLBACK, "chat@#1")
    cluster.settle()
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving.revision == first.revision
    assert cluster.status.serving.pinned
    assert cluster.status.history == []


def test_a_rollback_is_verified_by_the_rows_of_a_batch_that_was_renamed_since() -> None:
    cluster = upgraded(serving())
    cluster.verify()
    cluster.settle()
    kept = cluster.status.history[0]
    cluster.edit(("stages.1.name", "exam"))
    cluster.settle()
    cluster.complete("exam")
    assert list(cluster.status.serving.inputs) == ["tune", "exam"]
    cluster.ask(Verb.ROLLBACK, "chat#1")
    cluster.settle()
    told = cluster.works["viggo-chat"]
    assert told.replay == "score"
    assert told.inputs["score"].artifact == kept.inputs["score"].artifact
    cluster.see("chat", phase=ChildPhase.READY)
    cluster.settle()
    assert (
        cluster.stage("chat").message
        == "the endpoint is ready; rows of the batch are being replayed through it"
    )


def test_a_rollback_to_what_serves_does_nothing() -> None:
    cluster = upgraded(serving())
    cluster.verify()
    cluster.settle()
    cluster.ask(Verb.ROLLBACK, f"chat@{cluster.status.serving.revision}#1")
    planned = cluster.plan()
    assert (planned.actions, planned.transitions) == ((), ())


def test_a_rollback_to_what_serves_turns_its_successor_down() -> None:
    cluster = upgraded(serving())
    first = cluster.status.serving
    cluster.ask(Verb.ROLLBACK, f"chat@{first.revision}#1")
    cluster.settle()
    cluster.verify()
    cluster.settle()
    assert (cluster.status.serving.revision, cluster.status.serving.pinned) == (first.revision, True)


def test_a_rollback_that_is_under_way_is_not_turned_round_by_its_own_name() -> None:
    cluster = upgraded(serving())
    first = cluster.status.serving
    cluster.verify()
    cluster.settle()
    for token in ("1", "2"):
        cluster.ask(Verb.ROLLBACK, f"chat@{first.revision}#{token}")
        cluster.settle()
    assert cluster.works["viggo-chat"].revision == first.revision


def test_a_rollback_without_a_predecessor_does_nothing() -> None:
    cluster = serving()
    cluster.ask(Verb.ROLLBACK, "chat@#1")
    planned = cluster.plan()
    assert (planned.actions, planned.transitions) == ((), ())


def test_an_edit_back_to_what_was_rolled_back_to_unpins_it() -> None:
    cluster = upgraded(serving())
    cluster.verify()
    cluster.settle()
    cluster.ask(Verb.ROLLBACK, "chat@#1")
    cluster.settle()
    cluster.verify()
    cluster.settle()
    cluster.edit((RATE, 1e-4))
    cluster.settle()
    assert not cluster.status.serving.pinned
    assert conditions(cluster)["Ready"] == "True"
    assert cluster.stage("chat").reason == "EndpointVerified"


def test_history_is_bounded_and_names_each_promotion_once() -> None:
    cluster = serving()
    for step in range(14):
        upgraded(cluster, 1e-3 + step * 1e-4)
        cluster.verify()
        cluster.settle()
    assert len(cluster.status.history) == 10
    assert len({old.digest for old in cluster.status.history}) == 10
