"""Serving stages that serve already: what people and faults do to them."""

from __future__ import annotations

import pytest

from llmworkflow.core.actions import ApplyService, CreateChild, DeleteChild
from llmworkflow.core.observation import ChildPhase

from .builders import workflow
from .endpoints import conditions, serving, upgraded
from .simulator import SimulatedCluster


def test_a_service_that_was_edited_by_hand_is_put_right() -> None:
    cluster = serving()
    cluster.see("chat", edited=True)
    planned = cluster.plan()
    assert [type(action) for action in planned.actions] == [ApplyService]
    assert planned.transitions == ()


def test_a_service_that_was_deleted_by_hand_is_made_anew() -> None:
    cluster = serving()
    before = cluster.status.serving
    cluster.delete_by_hand("chat")
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"
    assert conditions(cluster)["Available"] == "False"
    cluster.bring_up()
    chat = cluster.stage("chat")
    assert (chat.state, chat.attempt, chat.failures) == ("Serving", 2, 0)
    assert cluster.status.serving == before
    assert cluster.status.history == []


@pytest.mark.parametrize("phase", [ChildPhase.UNHEALTHY, ChildPhase.PENDING])
def test_an_endpoint_that_is_unwell_is_degraded_until_it_is_well(phase: ChildPhase) -> None:
    cluster = serving()
    cluster.see("chat", phase=phase, message="a replica died")
    cluster.settle()
    assert (cluster.states()["chat"], cluster.status.phase) == ("Degraded", "Degraded")
    assert conditions(cluster)["Available"] == "False"
    assert cluster.status.url == ""
    cluster.see("chat", phase=ChildPhase.READY)
    cluster.settle()
    assert (cluster.states()["chat"], cluster.status.phase) == ("Serving", "Serving")
    assert cluster.stage("chat").reason == "EndpointVerified"


def test_an_endpoint_that_answers_otherwise_later_is_degraded() -> None:
    cluster = serving()
    cluster.verify(passed=False)
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Degraded", "VerificationFailed")


@pytest.mark.parametrize("verdict", [None, False])
def test_an_endpoint_that_is_ready_serves_again_only_with_a_good_verdict(verdict: bool | None) -> None:
    cluster = serving()
    cluster.see("chat", phase=ChildPhase.UNHEALTHY, message="a replica died")
    cluster.settle()
    if verdict is None:
        cluster.see("chat", phase=ChildPhase.READY, report=None)
    else:
        cluster.verify(passed=verdict)
    cluster.settle()
    assert (cluster.states()["chat"], conditions(cluster)["Available"]) == ("Degraded", "False")
    cluster.verify()
    cluster.settle()
    assert (cluster.states()["chat"], conditions(cluster)["Available"]) == ("Serving", "True")


def test_a_service_that_fails_for_good_is_made_anew() -> None:
    cluster = serving()
    cluster.see("chat", phase=ChildPhase.FAILED, reason="InitializingTimeout")
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").attempt) == ("Starting", 2)
    assert cluster.created["viggo-chat"] == 2


def test_a_service_can_be_preempted() -> None:
    cluster = serving()
    cluster.see("chat", phase=ChildPhase.QUEUED)
    cluster.settle()
    assert cluster.states()["chat"] == "Queued"
    assert conditions(cluster)["Available"] == "False"
    cluster.bring_up()
    assert (cluster.states()["chat"], cluster.stage("chat").failures) == ("Serving", 0)


def test_the_predecessor_that_does_not_come_back_is_degraded() -> None:
    cluster = upgraded(serving())
    cluster.verify(passed=False)
    cluster.settle()
    cluster.wait(3600)
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Degraded", "TimeoutExceeded")
    cluster.verify()
    cluster.settle()
    assert cluster.states()["chat"] == "Serving"


# removal


def test_a_serving_stage_that_is_removed_is_withdrawn() -> None:
    cluster = serving()
    stages = cluster.workflow.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)["stages"]
    cluster.edit(("stages", stages[:2]))
    planned = cluster.plan()
    assert [type(action) for action in planned.actions] == [DeleteChild]
    cluster.finish_deletions()
    cluster.settle()
    assert cluster.status.serving is None
    assert cluster.status.phase == "Succeeded"
    assert conditions(cluster)["Succeeded"] == "True"


def test_two_serving_stages_do_not_mix() -> None:
    spec = workflow().spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    second = {**spec["stages"][2], "name": "talk", "dependsOn": ["score"]}
    cluster = SimulatedCluster(
        workflow(("stages.2.name", "chat"), spec={**spec, "stages": [*spec["stages"], second]})
    )
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    assert {child.name for child in cluster.children.values()} == {"viggo-chat", "viggo-talk"}
    for name in ("chat", "talk"):
        cluster.run(name)
        cluster.settle()
        cluster.verify(name)
        cluster.settle()
    assert cluster.states()["chat"] == cluster.states()["talk"] == "Serving"
    assert cluster.status.url == "http://talk"
    assert [type(action) for action in cluster.log].count(CreateChild) == 4
