"""The operator is killed at every write of a whole workflow: nothing is lost, and nothing is made twice."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from .api import condition, eventually
from .conftest import Cluster
from .kill_proxy import KillProxy, Write
from .operator_process import OperatorProcess, install
from .workflows import NAME, begin, left, states, told

SECONDS = 700  # of which the operator starts for most, some fifty times
SERVED = {"tune": "Succeeded", "score": "Succeeded", "label": "Succeeded", "chat": "Serving"}


class Killer:
    """Lets every write of a namespace be the last one of the process that makes it.

    Dying after a write, with its answer on the way, is dying before the next: both leave the same cluster behind.
    """

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self._namespace = namespace
        self._began = False
        self.kills = 0
        self.proxy = KillProxy(cluster.control_plane, self._decide, self._kill)
        self.proxy.start()
        self.operator = OperatorProcess(cluster, folder, server=self.proxy.url)

    def _decide(self, write: Write) -> str | None:
        if f"/namespaces/{self._namespace}/" not in write.path:
            return None
        if not self._began:
            self._began = True
            return "before"
        return "after"

    def _kill(self) -> None:
        self.kills += 1
        self.operator.kill()

    def stop(self) -> None:
        self.operator.stop()
        self.proxy.stop()


def is_ready(cluster: Cluster, namespace: str) -> bool:
    found = cluster.api.get("LLMWorkflow", NAME, namespace) or {}
    return condition(found, "Ready").get("status") == "True"


@pytest.mark.timeout(SECONDS + 60)
def test_killed_at_every_write(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    install(cluster.api)
    begin(cluster, namespace)
    killer = Killer(cluster, namespace, tmp_path)
    began = time.monotonic()
    deadline = began + SECONDS
    try:
        while not is_ready(cluster, namespace):
            assert time.monotonic() < deadline, told(cluster.api, namespace)
            if not killer.operator.alive:
                killer.operator.start()
            time.sleep(0.1)
        eventually(lambda: not cluster.api.list("RayJob", namespace), 180, "the jobs that are done are gone")
    finally:
        killer.stop()
    print(f"killed {killer.kills} times in {time.monotonic() - began:.0f} s")
    made = Counter(write.path.rpartition("/")[2] for write in killer.proxy.writes if write.verb == "POST")
    assert made["rayjobs"] == 3
    assert made["rayservices"] == 1
    assert killer.kills > len(killer.proxy.writes) - 2 > 20
    assert states(cluster.api, namespace) == SERVED
    submitted = [ids for (where, _), ids in cluster.dashboard.submissions.items() if where == namespace]
    assert all(len(ids) == 1 for ids in submitted)
    cluster.api.delete("LLMWorkflow", NAME, namespace)
    eventually(lambda: not left(cluster.api, namespace), 180, "nothing is left, without an operator")
