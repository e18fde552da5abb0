"""A stage that cannot be rendered waits, says why, and keeps nobody else from going on."""

from __future__ import annotations

import copy

from llmworkflow.api.status import Condition

from .builders import SPEC, workflow
from .simulator import SimulatedCluster

WHY = "there is no accelerator of that name"


def condition(cluster: SimulatedCluster, kind: str) -> Condition:
    return next(found for found in cluster.status.conditions if found.type == kind)


def test_it_waits_and_says_why_until_it_can_be_rendered() -> None:
    cluster = SimulatedCluster()
    cluster.unrenderable = {"tune": WHY}
    cluster.settle()
    tune = cluster.stage("tune")
    assert (tune.state, tune.reason, tune.message, tune.child) == ("Waiting", "InvalidSpec", WHY, None)
    assert cluster.status.phase == "Stalled"
    assert condition(cluster, "Stalled").status == "True"
    assert condition(cluster, "Stalled").message == f"tune: {WHY}"
    assert cluster.log == []
    cluster.unrenderable = {}
    cluster.until_serving()
    assert cluster.stage("tune").attempt == 1


def test_others_go_on_meanwhile() -> None:
    spec = copy.deepcopy(SPEC)
    spec["stages"].insert(1, {**spec["stages"][0], "name": "other", "dependsOn": []})
    spec["stages"][2]["dependsOn"] = ["tune"]
    cluster = SimulatedCluster(workflow(spec=spec))
    cluster.unrenderable = {"other": WHY}
    cluster.settle()
    cluster.complete("tune")
    assert cluster.states() == {
        "tune": "Succeeded",
        "other": "Waiting",
        "score": "Starting",
        "chat": "Waiting",
    }
    assert condition(cluster, "Stalled").status == "False"


def test_request_that_was_not_carried_out_is_taken_back() -> None:
    cluster = SimulatedCluster()
    cluster.write(cluster.look_and_plan())
    cluster.unrenderable = {"tune": WHY}
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").child) == ("Waiting", None)
    cluster.unrenderable = {}
    cluster.settle()
    assert (cluster.stage("tune").state, cluster.stage("tune").attempt) == ("Starting", 1)


def test_what_serves_goes_on_where_its_successor_cannot_be_rendered() -> None:
    cluster = SimulatedCluster().until_serving()
    served = cluster.stage("chat").serving
    cluster.unrenderable = {"chat": WHY}
    cluster.edit(("stages.2.serve.models.0.engineKwargs", {"max_model_len": 99}))
    cluster.settle()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason, chat.serving) == ("Serving", "InvalidSpec", served)
    assert chat.message.endswith(WHY)
    assert condition(cluster, "Available").status == "True"
    assert condition(cluster, "Ready").status == "False"
    cluster.unrenderable = {}
    cluster.settle()
    assert cluster.stage("chat").state == "Upgrading"


def test_setting_of_what_serves_that_cannot_be_rendered_is_told_and_changes_nothing() -> None:
    cluster = SimulatedCluster().until_serving()
    before = len(cluster.log)
    cluster.unrenderable = {"chat": WHY}
    cluster.edit(("stages.2.ray", {"worker": {"cpu": 9}}))
    cluster.settle()
    assert (cluster.stage("chat").state, cluster.stage("chat").reason) == ("Serving", "InvalidSpec")
    assert len(cluster.log) == before
