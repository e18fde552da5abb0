"""An operator of newer code takes over: what runs goes on, what serves goes on, and promotions stay in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from .api import Object, eventually
from .conftest import OWN_CRD, Cluster
from .newer_code import crd_of, make_newer
from .operator_process import OperatorProcess, install
from .scripts import NEVER_ENDS
from .workflows import NAME, begin, states, told, wait_for, workflow

LOOKS = "llmworkflow_reconcile_seconds_count"

pytestmark = pytest.mark.timeout(900)


@dataclass
class Versions:
    """Two operators, of which one runs at a time."""

    old: OperatorProcess
    new: OperatorProcess
    crd: Object  # of the newer one


@pytest.fixture
def versions(cluster: Cluster, tmp_path: Path) -> Iterator[Versions]:
    install(cluster.api)
    code = make_newer(tmp_path / "newer")
    old = OperatorProcess(cluster, tmp_path, "old")
    new = OperatorProcess(cluster, tmp_path, "new", code=code)
    yield Versions(old, new, yaml.safe_load(crd_of(code)))
    for operator in (old, new):
        operator.stop()
    cluster.api.apply(yaml.safe_load(OWN_CRD.read_text()))


def living(cluster: Cluster, namespace: str) -> dict[tuple[str, str], tuple[str, int]]:
    """Uid and generation of all that works in a namespace."""
    return {
        (kind, item["metadata"]["name"]): (item["metadata"]["uid"], item["metadata"].get("generation", 0))
        for kind in ("RayJob", "RayService", "RayCluster", "Pod")
        for item in cluster.api.list(kind, namespace)
    }


def status_of(cluster: Cluster, namespace: str) -> Any:
    """The status, less how far a job is."""
    found = cluster.api.get("LLMWorkflow", NAME, namespace) or {}
    status: Any = found["status"]
    for stage in status["stages"]:
        stage.pop("progress", None)
    return status


def version_of(cluster: Cluster, namespace: str) -> str:
    """What changes with every write."""
    found = cluster.api.get("LLMWorkflow", NAME, namespace) or {}
    version: str = found["metadata"]["resourceVersion"]
    return version


def test_what_runs_and_what_serves_goes_on_under_a_newer_operator(
    cluster: Cluster, namespace: str, versions: Versions
) -> None:
    serves, runs = namespace, cluster.make_namespace()
    versions.old.start_up()
    begin(cluster, serves)
    wait_for(cluster, serves, "Ready")
    eventually(lambda: not cluster.api.list("RayJob", serves), 180, "the jobs that are done are gone")
    cluster.dashboard.script_job(runs, "tune", NEVER_ENDS)
    begin(cluster, runs)
    eventually(lambda: states(cluster.api, runs).get("tune") == "Running", 180, "tune runs")

    before = {where: living(cluster, where) for where in (serves, runs)}
    statuses = {where: status_of(cluster, where) for where in (serves, runs)}
    version = version_of(cluster, serves)
    versions.old.stop()
    cluster.api.apply(versions.crd)
    versions.new.start_up()
    eventually(lambda: versions.new.metric(LOOKS) >= 2, 180, "the newer one looked at both")
    assert {where: living(cluster, where) for where in (serves, runs)} == before
    assert {where: status_of(cluster, where) for where in (serves, runs)} == statuses
    assert version_of(cluster, serves) == version

    cluster.dashboard.finish_jobs(runs)
    wait_for(cluster, runs, "Ready")
    ran = [len(ids) for (where, _), ids in cluster.dashboard.submissions.items() if where in (serves, runs)]
    assert set(ran) == {1}
    assert living(cluster, serves) == before[serves]
    promote_in_place(cluster, serves)


def promote_in_place(cluster: Cluster, namespace: str) -> None:
    """Another adapter is served by the engines that an older version started."""
    engines = {
        key: uid for key, (uid, _) in living(cluster, namespace).items() if key[0] in ("RayCluster", "Pod")
    }
    changed = workflow(namespace)
    changed["spec"]["stages"][0]["fineTune"]["training"] = {"seed": 7}
    first = status_of(cluster, namespace)["serving"]["digest"]
    cluster.api.apply(changed)

    def promoted() -> bool:
        status = status_of(cluster, namespace)
        serving = status.get("serving") or {}
        return status["stages"][3]["state"] == "Serving" and serving.get("digest") not in (None, first)

    eventually(promoted, 240, f"the new adapter serves; {told(cluster.api, namespace)}")
    eventually(lambda: not cluster.api.list("RayJob", namespace), 180, "the jobs that are done are gone")
    now = {
        key: uid for key, (uid, _) in living(cluster, namespace).items() if key[0] in ("RayCluster", "Pod")
    }
    assert now == engines
