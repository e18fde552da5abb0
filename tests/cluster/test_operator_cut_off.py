"""The operator is cut off from the API server while the world goes on, and hears nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .api import eventually
from .api_proxy import ApiProxy
from .conftest import Cluster
from .operator_process import OperatorProcess, at_work
from .scripts import NEVER_ENDS, JobScript
from .workflows import NAME, begin, beside, left, states, told, wait_for

pytestmark = pytest.mark.timeout(900)

SECONDS = 240  # most of it is for a machine that is busy


@dataclass
class Line:
    """An operator, and the one line that leads to it."""

    operator: OperatorProcess
    proxy: ApiProxy


@pytest.fixture
def line(cluster: Cluster, tmp_path: Path) -> Iterator[Line]:
    proxy = ApiProxy(cluster.control_plane)
    proxy.start()
    with at_work(cluster, tmp_path, server=proxy.url) as operator:
        yield Line(operator, proxy)
    proxy.stop()


def test_what_happened_while_it_was_cut_off_is_caught_up_with(cluster: Cluster, line: Line) -> None:
    ends, goes_on, loses, goes, comes_back, serves = (cluster.make_namespace() for _ in range(6))
    for namespace in (ends, goes_on, loses, goes, comes_back):
        cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    for namespace in (ends, goes_on, loses, goes, comes_back, serves):
        begin(cluster, namespace)
    for namespace in (ends, goes_on, loses, goes, comes_back):
        is_running(cluster, namespace)
    wait_for(cluster, serves, "Ready", seconds=SECONDS)
    engines = uids(cluster, serves, "Pod")
    needed = {goes_on: beside(cluster.api, goes_on), serves: mounted(cluster, serves)}
    (before,) = uids(cluster, comes_back, "LLMWorkflow")

    with line.proxy.cut():
        eventually(lambda: "standby" in line.operator.readiness(), 180, "it does not act without its lease")
        cluster.dashboard.finish_jobs(ends)
        (job,) = cluster.api.list("RayJob", loses)
        cluster.api.delete("RayJob", job["metadata"]["name"], loses)
        eventually(lambda: not cluster.api.list("RayJob", loses), 180, "the job is gone")
        for namespace in (goes, comes_back):
            cluster.api.delete("LLMWorkflow", NAME, namespace)
            eventually(lambda: not left(cluster.api, namespace), 180, "nothing is left of it")  # noqa: B023
        for namespace in (loses, comes_back):
            cluster.dashboard.script_job(namespace, "tune", JobScript())
        begin(cluster, comes_back)
        delete(cluster, needed)
        eventually(lambda: ended(cluster, ends), 180, "the job has ended")
        cluster.control_plane.compact()

    for namespace, found in needed.items():
        eventually(lambda: beside(cluster.api, namespace) >= found, SECONDS, "what is needed is there again")  # noqa: B023
    cluster.dashboard.finish_jobs(goes_on)
    for namespace in (ends, goes_on, loses, comes_back):
        wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    assert attempts(cluster, goes_on) == {1}
    assert attempts(cluster, ends) == {1}
    assert ran(cluster, ends) == {"tune": 1, "score": 1, "label": 1}
    assert ran(cluster, loses) == {"tune": 2, "score": 1, "label": 1}
    assert attempts(cluster, comes_back) == {1}
    (after,) = uids(cluster, comes_back, "LLMWorkflow")
    assert owners(cluster, comes_back) == {after} != {before}
    assert left(cluster.api, goes) == []
    assert uids(cluster, serves, "Pod") == engines
    assert line.operator.get("/healthz").is_success


def test_a_watch_that_the_api_server_gives_up_is_begun_anew(
    cluster: Cluster, namespace: str, line: Line
) -> None:
    process = line.operator.pid
    for plural in ("llmworkflows", "rayjobs", "rayservices", "configmaps"):
        eventually(lambda: line.proxy.break_watches(plural), 180, f"{plural} are watched")  # noqa: B023
    begin(cluster, namespace)
    wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    assert line.operator.alive
    assert line.operator.pid == process


def is_running(cluster: Cluster, namespace: str) -> None:
    eventually(
        lambda: states(cluster.api, namespace).get("tune") == "Running",
        SECONDS,
        f"tune runs; {told(cluster.api, namespace)}",
    )


def ended(cluster: Cluster, namespace: str) -> bool:
    found = cluster.api.list("RayJob", namespace)
    return all(job["status"].get("jobDeploymentStatus") == "Complete" for job in found)


def delete(cluster: Cluster, needed: Mapping[str, set[tuple[str, str]]]) -> None:
    """Delete by hand what jobs and engines need, in several namespaces."""
    for namespace, found in needed.items():
        for kind, name in found:
            if kind != "ServiceAccount":  # whose tokens would end with it
                cluster.api.delete(kind, name, namespace)


def mounted(cluster: Cluster, namespace: str) -> set[tuple[str, str]]:
    """What the endpoint's pods would not start without, and what keeps others away from them."""
    (service,) = cluster.api.list("RayService", namespace)
    volumes = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["volumes"]
    config_maps = {("ConfigMap", volume["configMap"]["name"]) for volume in volumes if "configMap" in volume}
    closed = {item for item in beside(cluster.api, namespace) if item[0] == "NetworkPolicy"}
    return config_maps | closed


def uids(cluster: Cluster, namespace: str, kind: str) -> list[str]:
    return sorted(item["metadata"]["uid"] for item in cluster.api.list(kind, namespace))


def owners(cluster: Cluster, namespace: str) -> set[str]:
    """Uids of the workflows that own anything."""
    return {
        owner["uid"]
        for kind in ("RayJob", "RayService", "ConfigMap", "Role", "RoleBinding", "NetworkPolicy")
        for item in cluster.api.list(kind, namespace)
        for owner in item["metadata"].get("ownerReferences", [])
        if owner["kind"] == "LLMWorkflow"
    }


def attempts(cluster: Cluster, namespace: str) -> set[int]:
    found: Any = cluster.api.get("LLMWorkflow", NAME, namespace)
    return {stage["attempt"] for stage in found["status"]["stages"]}


def ran(cluster: Cluster, namespace: str) -> dict[str, int]:
    """How many runs of each stage Ray has seen."""
    found = cluster.dashboard.submissions.items()
    return {stage: len(ids) for (where, stage), ids in found if where == namespace and "-" not in stage}
