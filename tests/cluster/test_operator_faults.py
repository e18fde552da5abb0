"""Faults around the operator: it is away, it is twice, the API server is away, the workflow is another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .api import condition, eventually
from .conftest import Cluster
from .operator_process import OperatorProcess, install
from .scripts import NEVER_ENDS
from .workflows import BESIDE, NAME, begin, beside, states, told, wait_for, workflow

pytestmark = pytest.mark.timeout(900)

AWAY_SECONDS = 120


@pytest.fixture
def operators(cluster: Cluster, tmp_path: Path) -> Iterator[list[OperatorProcess]]:
    """Two, of which one acts."""
    install(cluster.api)
    found = [OperatorProcess(cluster, tmp_path, name) for name in ("first", "second")]
    yield found
    for operator in found:
        operator.stop()


def reported(cluster: Cluster, namespace: str) -> bool:
    return any("report.json" in item.get("data", {}) for item in cluster.api.list("ConfigMap", namespace))


def jobs(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    return cluster.api.list("RayJob", namespace)


def assert_each_ran_once(cluster: Cluster, namespace: str) -> None:
    ran = {
        stage: len(ids) for (where, stage), ids in cluster.dashboard.submissions.items() if where == namespace
    }
    found = cluster.api.get("LLMWorkflow", NAME, namespace) or {}
    ended = [ended for stage in found["status"]["stages"] for ended in stage.get("attempts", [])]
    assert set(ran.values()) == {1}, (ran, ended)


def in_state(cluster: Cluster, namespace: str, stage: str, state: str) -> None:
    what = f"{stage} is {state}"
    try:
        eventually(lambda: states(cluster.api, namespace).get(stage) == state, 180, what)
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {told(cluster.api, namespace)}") from None


def test_two_operators_and_the_acting_one_dies(
    cluster: Cluster, namespace: str, operators: list[OperatorProcess]
) -> None:
    first, second = operators
    first.start_up()
    eventually(lambda: "leader" in first.readiness(), 180, "the first acts")
    second.start_up()
    assert "standby" in second.readiness()
    cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    begin(cluster, namespace)
    in_state(cluster, namespace, "tune", "Running")
    first.kill()
    cluster.dashboard.finish_jobs(namespace)
    wait_for(cluster, namespace, "Ready")
    assert "leader" in second.readiness()
    assert_each_ran_once(cluster, namespace)


def test_api_server_away_and_history_forgotten_meanwhile(
    cluster: Cluster, namespace: str, operators: list[OperatorProcess]
) -> None:
    operator = operators[0]
    operator.start_up()
    cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    begin(cluster, namespace)
    in_state(cluster, namespace, "tune", "Running")
    began = time.monotonic()
    with cluster.control_plane.away():
        eventually(lambda: "standby" in operator.readiness(), 180, "it does not act without its lease")
        cluster.control_plane.compact()
        cluster.dashboard.finish_jobs(namespace)
        eventually(lambda: time.monotonic() > began + AWAY_SECONDS, 2 * AWAY_SECONDS, "it was away for long")
    wait_for(cluster, namespace, "Ready")
    assert operator.get("/healthz").is_success
    assert_each_ran_once(cluster, namespace)


def test_job_deleted_by_hand_is_another_attempt_and_one_edited_is_made_anew(
    cluster: Cluster, namespace: str, operators: list[OperatorProcess]
) -> None:
    operators[0].start_up()
    cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    begin(cluster, namespace)
    in_state(cluster, namespace, "tune", "Running")
    (first,) = jobs(cluster, namespace)
    cluster.kubectl("-n", namespace, "delete", "rayjob", first["metadata"]["name"], "--wait=false")
    eventually(lambda: _attempt(cluster, namespace) == 2, 180, "a second attempt follows")
    in_state(cluster, namespace, "tune", "Running")
    (second,) = jobs(cluster, namespace)
    edit = '{"spec": {"entrypoint": "python -m something_else"}}'
    cluster.kubectl(
        "-n", namespace, "patch", "rayjob", second["metadata"]["name"], "--type=merge", "-p", edit
    )
    eventually(
        lambda: _other(cluster, namespace, second["metadata"]["uid"]),
        180,
        "the job is made anew as the spec says",
    )
    assert _attempt(cluster, namespace) == 2


def test_what_cannot_be_done_is_said_and_picked_up(
    cluster: Cluster, namespace: str, operators: list[OperatorProcess]
) -> None:
    operators[0].start_up()
    begin(cluster, namespace, ray={"accelerator": {"name": "unheard-of"}})
    found = wait_for(cluster, namespace, "Stalled")
    assert "unheard-of" in condition(found, "Stalled")["message"]
    assert jobs(cluster, namespace) == []
    cluster.api.apply(workflow(namespace))
    wait_for(cluster, namespace, "Ready")


def test_what_stands_beside_a_job_is_restored_and_what_is_left_over_goes(
    cluster: Cluster, namespace: str, operators: list[OperatorProcess]
) -> None:
    operators[0].start_up()
    cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    begin(cluster, namespace)
    in_state(cluster, namespace, "tune", "Running")
    before = beside(cluster.api, namespace)
    assert {kind for kind, _ in before} == set(BESIDE)
    eventually(lambda: reported(cluster, namespace), 180, "the job began")
    for kind, name in before:
        if kind != "ServiceAccount":  # whose tokens would end with it
            cluster.api.delete(kind, name, namespace)
    eventually(lambda: beside(cluster.api, namespace) >= before, 180, "all of it is there again")
    cluster.dashboard.finish_jobs(namespace)
    wait_for(cluster, namespace, "Ready")
    assert_each_ran_once(cluster, namespace)

    def left_over() -> set[str]:
        (service,) = cluster.api.list("RayService", namespace)
        pods = [service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]]
        mounted = {v["configMap"]["name"] for pod in pods for v in pod["spec"]["volumes"] if "configMap" in v}
        found = {name for kind, name in beside(cluster.api, namespace) if kind == "ConfigMap"}
        return {name for name in found - mounted if "-report-" not in name}

    eventually(lambda: not left_over(), 180, "only what serves is left")


def test_at_rest_nothing_is_written(
    cluster: Cluster, namespace: str, operators: list[OperatorProcess]
) -> None:
    operator = operators[0]
    operator.start_up()
    begin(cluster, namespace)
    wait_for(cluster, namespace, "Ready")
    eventually(lambda: not jobs(cluster, namespace), 180, "the jobs that are done are gone")
    before = cluster.api.get("LLMWorkflow", NAME, namespace)
    looks = operator.metric("llmworkflow_reconcile_seconds_count")
    cluster.api.patch("LLMWorkflow", NAME, namespace, {"metadata": {"labels": {"looked": "at"}}})
    eventually(
        lambda: operator.metric("llmworkflow_reconcile_seconds_count") > looks, 180, "it looked at it again"
    )
    after = cluster.api.get("LLMWorkflow", NAME, namespace)
    assert before is not None
    assert after is not None
    assert after["status"] == before["status"]
    assert not [m for m in after["metadata"] if m == "finalizers"]
    assert "annotations" not in after["metadata"]


def _attempt(cluster: Cluster, namespace: str) -> int:
    found = cluster.api.get("LLMWorkflow", NAME, namespace) or {}
    attempt: int = found["status"]["stages"][0]["attempt"]
    return attempt


def _other(cluster: Cluster, namespace: str, uid: str) -> bool:
    return any(
        job["metadata"]["uid"] != uid and job["spec"]["entrypoint"].endswith("fine_tune")
        for job in jobs(cluster, namespace)
    )
