"""Serving stages: verification, promotion, return, rollback."""

from __future__ import annotations

import pytest

from llmworkflow.api.names import Verb
from llmworkflow.core import graph
from llmworkflow.core.actions import ApplyService
from llmworkflow.core.observation import ChildPhase
from llmworkflow.core.promotions import workflow_for

from .builders import workflow
from .endpoints import RATE, conditions, serving, upgraded
from .simulator import SimulatedCluster


def test_a_first_endpoint_that_answers_otherwise_is_never_served() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.run("chat")
    cluster.settle()
    cluster.verify(passed=False)
    cluster.settle()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason) == ("Failed", "VerificationFailed")
    assert "0.2 of 16 replayed rows" in chat.message
    assert cluster.children == {}, "its GPUs are given back"
    assert cluster.status.serving is None

    cluster.edit((RATE, 1e-3))
    cluster.settle()
    assert cluster.stage("chat").state == "Waiting", "a new revision upstream is a new chance"


def test_readiness_without_verification_is_not_serving() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.run("chat")
    cluster.see("chat", phase=ChildPhase.READY, url="http://chat")
    cluster.settle()
    assert cluster.stage("chat").state == "Checking"
    assert conditions(cluster)["Ready"] == "False"
    assert conditions(cluster)["Available"] == "False"
    cluster.run("chat")
    cluster.settle()
    assert cluster.stage("chat").state == "Running", "no longer ready"


def test_an_endpoint_without_a_batch_to_verify_by_serves_once_it_was_greeted() -> None:
    cluster = SimulatedCluster(
        workflow(("stages.2.dependsOn", ["tune"]), ("stages.1.dependsOn", []), ("stages.1.batch.model", None))
    )
    cluster.settle()
    cluster.complete("tune")
    assert cluster.works["viggo-chat"].replay is None
    cluster.see("chat", phase=ChildPhase.READY, url="http://chat")
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Checking", "VerifyingEndpoint")
    first = {
        "rows": 0,
        "required": 0.0,
        "agreement": 1.0,
        "passed": True,
        "message": "answered with 8 tokens",
    }
    cluster.tell("chat", verification=first)
    cluster.settle()
    assert cluster.states()["chat"] == "Serving"
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.complete("tune")
    cluster.see("chat", phase=ChildPhase.READY, url="http://chat")
    cluster.settle()
    assert cluster.states()["chat"] == "Upgrading"
    missing = {
        "rows": 0,
        "required": 1.0,
        "agreement": 0.0,
        "passed": False,
        "message": "a file is not there",
    }
    cluster.tell("chat", verification=missing)
    cluster.settle()
    assert cluster.stage("chat").refused.message == "a file is not there"


ADAPTERS = [{"name": "own", "stage": "tune"}, {"name": "bought", "uri": "volume:bought"}]
BOUGHT = [{"name": "elsewhere", "uri": "volume:bought"}]


@pytest.mark.parametrize(
    ("ran", "served", "replayed"),
    [
        ({}, {"adapters": ADAPTERS}, True),
        ({}, {"adapters": BOUGHT}, True),
        ({}, {"adapters": BOUGHT, "source": "volume:models/other"}, False),
        ({"model": {"stage": "tune"}}, {"adapters": ADAPTERS}, True),
        ({"model": {"stage": "tune"}}, {"adapters": BOUGHT}, False),
        ({"adapters": BOUGHT, "adapterColumn": "which"}, {"adapters": ADAPTERS}, True),
        ({"adapters": BOUGHT, "adapterColumn": "which"}, {"model": {"stage": "tune"}}, False),
        ({"adapters": BOUGHT, "adapterColumn": "which"}, {}, False),
    ],
)
def test_rows_are_replayed_of_a_batch_that_ran_what_is_served(
    ran: dict[str, object], served: dict[str, object], replayed: bool
) -> None:
    spec = workflow(
        ("stages.1.batch", {"input": {"uri": "volume:test.jsonl"}, **ran}),
        ("stages.1.gates", []),
        ("stages.2.serve.models", [{"modelId": "viggo", **served}]),
    ).spec
    assert graph.replayed(spec, spec.stages[2]) == ("score" if replayed else None)


def test_an_endpoint_that_never_becomes_ready_is_given_up() -> None:
    cluster = SimulatedCluster(workflow(("stages.2.retries", 0)))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.run("chat")
    assert cluster.settle().requeue_after == 3600
    cluster.wait(3600)
    cluster.settle()
    assert (cluster.stage("chat").state, cluster.stage("chat").reason) == ("Failed", "TimeoutExceeded")


def test_a_successor_is_promoted_in_place() -> None:
    cluster = serving()
    first = cluster.status.serving
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    assert cluster.states() == {"tune": "Starting", "score": "Waiting", "chat": "Serving"}
    assert cluster.stage("chat").reason == "WaitingForDependencies"
    assert "keeps serving" in cluster.stage("chat").message
    cluster.complete("tune")
    cluster.succeed("score")
    planned = cluster.plan()
    assert cluster.states()["chat"] == "Upgrading"
    applied = [action for action in planned.actions if isinstance(action, ApplyService)]
    assert [action.work.inputs["tune"].artifact for action in applied] == [cluster.stage("tune").artifact]
    assert conditions(cluster)["Available"] == "True"
    assert conditions(cluster)["Ready"] == "False"
    assert cluster.status.serving == first

    cluster.settle()
    cluster.verify()
    cluster.settle()
    assert cluster.states()["chat"] == "Serving"
    assert cluster.status.serving.revision == cluster.stage("chat").revision != first.revision
    assert cluster.status.history == [first]
    assert cluster.created["viggo-chat"] == 1, "the same service, so the same URL"
    assert conditions(cluster)["Ready"] == "True"


@pytest.mark.parametrize("goes_slowly", [True, False])
def test_where_two_have_no_room_the_service_ends_before_its_successor_starts(goes_slowly: bool) -> None:
    cluster = serving(("stages.2.serve.upgrade", "replace"), ("stages.2.retries", 0))
    cluster.edit(("stages.2.serve.models.0.engineKwargs", {"max_model_len": 2048}))
    cluster.write(cluster.look_and_plan())
    assert cluster.states()["chat"] == "Upgrading"
    if goes_slowly:  # the shell deletes it, and is seen to
        cluster.see("chat", terminating=True)
        cluster.write(cluster.look_and_plan())
        assert cluster.states()["chat"] == "Stopping"
        assert "ends before its successor starts" in cluster.stage("chat").message
    cluster.delete_by_hand("chat")
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"
    assert (cluster.stage("chat").failures, cluster.stage("chat").attempts) == (0, [])
    cluster.bring_up()
    assert cluster.states()["chat"] == "Serving"
    assert cluster.status.serving.revision == cluster.stage("chat").revision


def test_settings_of_pods_replace_the_service_at_no_cost_either() -> None:
    cluster = serving(("stages.2.serve.upgrade", "replace"))
    cluster.edit(("stages.2.ray", {"worker": {"cpu": 8}}))
    cluster.write(cluster.look_and_plan())
    assert cluster.states()["chat"] == "Serving"
    cluster.see("chat", terminating=True)
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"
    assert cluster.stage("chat").attempts == []


def test_a_crash_between_the_write_and_the_promotion_is_finished_by_the_next_look() -> None:
    cluster = serving()
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.complete("tune")
    cluster.succeed("score")
    planned = cluster.look_and_plan()
    cluster.write(planned)
    again = cluster.plan()
    assert [action for action in again.actions if isinstance(action, ApplyService)]
    assert cluster.child("chat").revision == cluster.stage("chat").revision


def test_a_stage_that_made_what_serves_may_be_renamed() -> None:
    cluster = serving()
    first = cluster.status.serving
    tune, score, chat = cluster.workflow.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)[
        "stages"
    ]
    score["batch"]["model"] = chat["serve"]["models"][0]["model"] = {"stage": "tuned"}
    cluster.edit(("stages", [{**tune, "name": "tuned"}, score, chat]))
    cluster.settle()
    assert cluster.states() == {"tuned": "Starting", "score": "Waiting", "chat": "Serving"}
    assert cluster.status.serving == first
    for stage in ("tuned", "score"):
        cluster.complete(stage)
    cluster.verify()
    cluster.settle()
    assert "tuned" in cluster.status.serving.inputs
    cluster.ask(Verb.ROLLBACK, "chat#1")
    cluster.settle()
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving.inputs.keys() == first.inputs.keys()


def test_what_serves_and_its_successor_come_back_when_somebody_deletes_them() -> None:
    cluster = serving(("stages.2.retries", 0))
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    assert cluster.states()["chat"] == "Upgrading"
    cluster.delete_by_hand("chat")
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"


def test_what_was_said_of_the_predecessor_does_not_count_for_the_successor() -> None:
    cluster = upgraded(serving())
    cluster.see("chat", phase=ChildPhase.READY)
    cluster.settle()
    assert cluster.states()["chat"] == "Upgrading"
    assert cluster.stage("chat").reason == "VerifyingEndpoint"


def test_what_the_pods_of_a_successor_wait_for_is_told_until_they_are_there() -> None:
    cluster = upgraded(serving())
    full = {"reason": "AcceleratorsInUse", "message": "pod p needs 1 nvidia.com/gpu"}
    cluster.see("chat", phase=ChildPhase.RUNNING, **full)
    cluster.settle()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason, chat.message) == ("Upgrading", *full.values())
    assert conditions(cluster)["Available"] == "True"
    cluster.see("chat", phase=ChildPhase.RUNNING, reason="", message="")
    cluster.settle()
    assert (cluster.stage("chat").reason, cluster.stage("chat").message) == ("SuccessorStarting", "")
    cluster.see("chat", phase=ChildPhase.RUNNING, **full)
    cluster.settle()
    cluster.wait(3600)
    cluster.settle()
    assert cluster.stage("chat").refused is not None
    assert "ran for 3600 s (pod p needs 1 nvidia.com/gpu)" in cluster.stage("chat").refused.message


def test_a_successor_that_answers_otherwise_is_taken_back() -> None:
    cluster = upgraded(serving())
    first = cluster.status.serving
    cluster.verify(passed=False)
    planned = cluster.plan()
    [back] = planned.actions
    assert isinstance(back, ApplyService)
    assert back.work.revision == first.revision
    assert back.work.inputs["tune"].artifact == first.inputs["tune"].artifact
    assert cluster.states()["chat"] == "Upgrading"
    cluster.settle()
    cluster.verify()
    cluster.settle()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason) == ("Serving", "VerificationFailed")
    assert cluster.status.serving == first
    assert conditions(cluster) == {
        "Ready": "False", "Available": "True", "Progressing": "False", "Stalled": "True", "Succeeded": "False",
        "Failed": "True",
    }  # fmt: skip
    cluster.wait(3600)
    assert cluster.look_and_plan().actions == (), "it is not tried again by itself"

    cluster.ask(Verb.RETRY, "chat#1")
    cluster.settle()
    assert cluster.states()["chat"] == "Upgrading"
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving.revision != first.revision
    assert conditions(cluster)["Ready"] == "True"


def test_a_return_brings_back_the_options_too() -> None:
    cluster = serving(("stages.2.serve.models.0.engineKwargs", {"max_model_len": 512}))
    cluster.edit(
        ("stages.2.serve.models.0.engineKwargs", {"max_model_len": 1}),
        ("stages.2.serve.models.0.replicas", {"max": 4}),
        ("ray.pip", ["left-pad"]),
    )
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.see("chat", phase=ChildPhase.FAILED, message="max_model_len is too small")
    cluster.settle()
    told = cluster.works["viggo-chat"]
    spec = workflow_for(cluster.workflow, told).spec
    stage = spec.stages[2]
    assert stage.serve.models[0].engine_kwargs == {"max_model_len": 512}
    assert stage.serve.models[0].replicas.max == 4, "operational fields are those of now"
    assert (spec.ray.pip, stage.ray) == ([], None)
    assert cluster.stage("chat").refused.message == "max_model_len is too small"


def test_an_edit_while_upgrading_goes_back_until_the_next_is_ready() -> None:
    cluster = upgraded(serving())
    first = cluster.status.serving
    cluster.edit((RATE, 2e-3))
    cluster.settle()
    assert cluster.works["viggo-chat"].revision == first.revision
    cluster.verify()
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Serving", "WaitingForDependencies")


def test_an_edit_before_anything_serves_stops_the_service() -> None:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    cluster.run("chat")
    cluster.settle()
    cluster.edit(("stages.2.serve.models.0.engineKwargs", {"max_model_len": 1}))
    cluster.plan()
    assert cluster.states()["chat"] == "Stopping"
    cluster.finish_deletions()
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"
    assert cluster.created["viggo-chat"] == 2


def test_operational_edits_reach_a_service_that_serves() -> None:
    cluster = serving()
    before = cluster.status.serving
    cluster.edit(("stages.2.serve.models.0.replicas", {"max": 3}))
    planned = cluster.plan()
    assert [type(action) for action in planned.actions] == [ApplyService]
    cluster.settle()
    assert cluster.states()["chat"] == "Serving"
    assert cluster.status.serving == before
    assert cluster.stage("chat").attempt == 1
