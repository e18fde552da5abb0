"""A workflow gives way to another of its name just before any write of the operator: nothing is taken over."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from .api import Object, eventually, through_outages
from .api_proxy import ApiProxy
from .conftest import Cluster
from .kill_proxy import Write
from .operator_process import OperatorProcess, install
from .workflows import NAME, begin, left, wait_for, workflow

SECONDS = 700  # for all of them, which go on at the same time

pytestmark = pytest.mark.timeout(SECONDS + 200)


def two_stages(namespace: str) -> Object:
    found = workflow(namespace)
    found["spec"]["stages"] = [
        stage for stage in found["spec"]["stages"] if stage["name"] in ("tune", "chat")
    ]
    return found


class Usurper(ApiProxy):
    """Lets another workflow take the place of the one that is written for, just before that write."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.control_plane)
        self._api = cluster.api
        self.points: dict[str, int] = {}  # the write before which it happens, by namespace
        self.writes: Counter[str] = Counter()
        self.usurped: dict[str, str] = {}  # uid of the workflow that was there first, by namespace

    async def meddle(self, request: web.Request) -> web.StreamResponse | None:
        """Count the writes of each namespace."""
        write = Write(request.method, request.path)
        if write.counts:
            namespace = write.path.partition("/namespaces/")[2].partition("/")[0]
            self.writes[namespace] += 1
            if self.writes[namespace] == self.points.get(namespace):
                await asyncio.to_thread(self.usurp, namespace)
        return None

    def usurp(self, namespace: str) -> None:
        """Delete the workflow, and make another one with its name at once."""
        found = self._api.get("LLMWorkflow", NAME, namespace)
        assert found is not None
        self.usurped[namespace] = found["metadata"]["uid"]
        self._api.delete("LLMWorkflow", NAME, namespace)
        through_outages(lambda: self._api.create(two_stages(namespace)), seconds=60, forgiven=(409,))


@pytest.fixture
def usurper(cluster: Cluster, tmp_path: Path) -> Iterator[Usurper]:
    install(cluster.api)
    proxy = Usurper(cluster)
    proxy.start()
    operator = OperatorProcess(cluster, tmp_path, server=proxy.url)
    operator.start_up()
    yield proxy
    operator.stop()
    proxy.stop()


def test_another_workflow_takes_the_place_at_every_write(cluster: Cluster, usurper: Usurper) -> None:
    undisturbed = cluster.make_namespace()
    start(cluster, undisturbed)
    finished(cluster, undisturbed)
    places = [cluster.make_namespace() for _ in range(usurper.writes[undisturbed])]
    print(f"{len(places)} writes, before each of which another one takes the place")
    assert len(places) > 10
    usurper.points = {namespace: number for number, namespace in enumerate(places, 1)}
    for namespace in places:
        start(cluster, namespace)
    for namespace in places:
        finished(cluster, namespace)
        if namespace not in usurper.usurped:  # the last few writes may be put together to fewer
            usurper.usurp(namespace)
            finished(cluster, namespace)
        after = uid_of(cluster, namespace)
        assert after != usurper.usurped[namespace]
        eventually(lambda: owners(cluster, namespace) == {after}, 180, "all belongs to the new one")  # noqa: B023
    for namespace in (undisturbed, *places):
        cluster.api.delete("LLMWorkflow", NAME, namespace)
    for namespace in (undisturbed, *places):
        eventually(lambda: not left(cluster.api, namespace), 240, "nothing is left")  # noqa: B023


def start(cluster: Cluster, namespace: str) -> None:
    begin(cluster, namespace, **two_stages(namespace)["spec"])


def finished(cluster: Cluster, namespace: str) -> None:
    """It serves, by first attempts of its own alone, and its jobs are gone."""
    found = wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    assert all(stage["attempt"] == 1 and not stage["reused"] for stage in found["status"]["stages"])
    eventually(lambda: not cluster.api.list("RayJob", namespace), SECONDS, "its jobs are gone")


def uid_of(cluster: Cluster, namespace: str) -> str:
    found: Any = cluster.api.get("LLMWorkflow", NAME, namespace)
    uid: str = found["metadata"]["uid"]
    return uid


def owners(cluster: Cluster, namespace: str) -> set[str]:
    """Uids of the workflows that anything belongs to."""
    kinds = ("RayJob", "RayService", "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy")
    return {
        owner["uid"]
        for kind in kinds
        for item in cluster.api.list(kind, namespace)
        for owner in item["metadata"].get("ownerReferences", [])
        if owner["kind"] == "LLMWorkflow"
    }
