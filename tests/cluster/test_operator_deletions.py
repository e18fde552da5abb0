"""Workflows are deleted wherever they stand, and made again with the same name: nothing is left, nothing comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .api import Object, eventually
from .conftest import Cluster
from .fates import NeverStarts, Runs
from .operator_process import OperatorProcess, at_work
from .scripts import DIES, NEVER_ENDS, JobScript, ServeScript
from .workflows import NAME, begin, left, states, told, wait_for, workflow

pytestmark = pytest.mark.timeout(900)

SECONDS = 300


@dataclass(frozen=True)
class Point:
    """Where a workflow is held: in which state which stage is, and what holds it."""

    stage: str
    state: str
    hold: Callable[[Cluster, str], None]
    spec: Callable[[Object], None] = lambda _: None


def _never_ends(stage: str) -> Callable[[Cluster, str], None]:
    return lambda cluster, namespace: cluster.dashboard.script_job(namespace, stage, NEVER_ENDS)


def _ask_first(manifest: Object) -> None:
    manifest["spec"]["stages"][1]["approval"] = {"required": True}


def _suspend(manifest: Object) -> None:
    manifest["spec"]["suspend"] = True


POINTS = (
    Point("tune", "Queued", lambda *_: None, _suspend),
    Point("tune", "Starting", lambda cluster, namespace: cluster.kubelet.tell(namespace, NeverStarts())),
    Point("tune", "Running", _never_ends("tune")),
    Point(
        "tune", "Waiting", lambda cluster, namespace: cluster.dashboard.script_job(namespace, "tune", DIES)
    ),
    Point("score", "Running", _never_ends("score")),
    Point("score", "AwaitingApproval", lambda *_: None, _ask_first),
    Point(
        "chat",
        "Running",
        lambda cluster, namespace: cluster.dashboard.script_serve(
            namespace, "chat", ServeScript(seconds=3600)
        ),
    ),
    Point("chat", "Serving", lambda *_: None),
)


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    with at_work(cluster, tmp_path) as operator:
        yield operator


@pytest.fixture
def held(cluster: Cluster, operator: OperatorProcess) -> dict[str, str]:
    """Uids of workflows of the same name, by namespace: one at every point."""
    places = {cluster.make_namespace(): point for point in POINTS}
    for namespace, point in places.items():
        point.hold(cluster, namespace)
        manifest = workflow(namespace)
        point.spec(manifest)
        begin(cluster, namespace, **manifest["spec"])
    for namespace, point in places.items():
        eventually(
            lambda: _is_at(cluster, namespace, point),  # noqa: B023  called at once
            SECONDS,
            f"{point.stage} is {point.state}; {told(cluster.api, namespace)}",
        )
    return {namespace: _uid(cluster, namespace) for namespace in places}


@pytest.mark.capability("left-nothing")
def test_deleted_at_every_stage_while_the_operator_is_down(
    cluster: Cluster, operator: OperatorProcess, held: dict[str, str]
) -> None:
    assert all(left(cluster.api, namespace) for namespace in list(held)[1:])
    operator.kill()
    delete_all(cluster, held)
    eventually(lambda: not _left(cluster, held), 180, f"nothing is left; {_left(cluster, held)}")


def test_deleted_and_made_again_at_every_stage(
    cluster: Cluster, operator: OperatorProcess, held: dict[str, str]
) -> None:
    delete_all(cluster, held)
    for namespace in held:
        eventually(lambda: cluster.api.get("LLMWorkflow", NAME, namespace) is None, 180, "it is gone")  # noqa: B023
        cluster.kubelet.tell(namespace, Runs())
        cluster.dashboard.script_serve(namespace, "chat", ServeScript())
        for stage in ("tune", "score"):
            cluster.dashboard.script_job(namespace, stage, JobScript())
        cluster.api.apply(workflow(namespace))
    for namespace, uid in held.items():
        found = wait_for(cluster, namespace, "Ready", seconds=SECONDS)
        assert found["metadata"]["uid"] != uid
        assert all(stage["attempt"] == 1 and not stage["reused"] for stage in found["status"]["stages"])
        owners = {
            owner["uid"]
            for kind in ("RayJob", "RayService", "ConfigMap", "Role")
            for item in cluster.api.list(kind, namespace)
            for owner in item["metadata"].get("ownerReferences", [])
        }
        assert owners == {found["metadata"]["uid"]}
    delete_all(cluster, held)
    eventually(lambda: not _left(cluster, held), 180, f"nothing is left; {_left(cluster, held)}")


def delete_all(cluster: Cluster, namespaces: Iterable[str]) -> None:
    for namespace in namespaces:
        cluster.api.delete("LLMWorkflow", NAME, namespace)


def _is_at(cluster: Cluster, namespace: str, point: Point) -> bool:
    return states(cluster.api, namespace).get(point.stage) == point.state


def _uid(cluster: Cluster, namespace: str) -> str:
    found: Any = cluster.api.get("LLMWorkflow", NAME, namespace)
    uid: str = found["metadata"]["uid"]
    return uid


def _left(cluster: Cluster, namespaces: Iterable[str]) -> dict[str, list[str]]:
    found = {namespace: left(cluster.api, namespace) for namespace in namespaces}
    return {namespace: items for namespace, items in found.items() if items}
