"""Two operators that both act, each sure that it is alone: nothing is made twice, and they do not fight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .api import eventually
from .conftest import Cluster
from .kill_proxy import KillProxy
from .operator_process import ACCOUNT, NAMESPACE, OperatorProcess, install
from .workflows import NAME, begin, wait_for

pytestmark = pytest.mark.timeout(900)

WORKFLOWS = 4  # at a time, so that the two meet at every kind of step
LOOKS = "llmworkflow_reconcile_seconds_count"


class Twin:
    """One of them, with a Lease that the other knows nothing of; every write is seen."""

    def __init__(self, cluster: Cluster, folder: Path, name: str) -> None:
        place = cluster.make_namespace()
        let_lead(cluster, place)
        self.proxy = KillProxy(cluster.control_plane, lambda _: None, lambda: None)
        self.proxy.start()
        self.operator = OperatorProcess(
            cluster, folder, name, server=self.proxy.url, leaseNamespace=place, resyncSeconds=5
        )

    def made(self) -> Counter[str]:
        """How many objects of each kind it created."""
        return Counter(write.path.rpartition("/")[2] for write in self.proxy.writes if write.verb == "POST")

    def stop(self) -> None:
        self.operator.stop()
        self.proxy.stop()


@pytest.fixture
def twins(cluster: Cluster, tmp_path: Path) -> Iterator[list[Twin]]:
    install(cluster.api)
    found = [Twin(cluster, tmp_path, name) for name in ("one", "other")]
    for twin in found:
        twin.operator.start_up()
    for twin in found:
        eventually(lambda: "leader" in twin.operator.readiness(), 180, "it acts")  # noqa: B023
    yield found
    for twin in found:
        twin.stop()


def let_lead(cluster: Cluster, namespace: str) -> None:
    """Leave to hold a Lease where none is shipped."""
    group = "rbac.authorization.k8s.io"
    named = {"name": "leads", "namespace": namespace}
    rule = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "create", "update"],
    }
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": named, "rules": [rule]}
    cluster.api.create(role)
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": named,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "leads"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    cluster.api.create(binding)


def test_two_that_act_make_nothing_twice_and_come_to_rest(cluster: Cluster, twins: list[Twin]) -> None:
    namespaces = [cluster.make_namespace() for _ in range(WORKFLOWS)]
    for namespace in namespaces:
        begin(cluster, namespace)
    for namespace in namespaces:
        wait_for(cluster, namespace, "Ready")
        eventually(lambda: not cluster.api.list("RayJob", namespace), 180, "the jobs are gone")  # noqa: B023
    assert all(
        len(ids) == 1 for (where, _), ids in cluster.dashboard.submissions.items() if where in namespaces
    )
    both = twins[0].made() + twins[1].made()
    assert both["rayjobs"] == 3 * WORKFLOWS
    assert both["rayservices"] == WORKFLOWS

    before = [version(cluster, namespace) for namespace in namespaces]
    looks = [twin.operator.metric(LOOKS) for twin in twins]
    for twin, seen in zip(twins, looks, strict=True):
        eventually(lambda: twin.operator.metric(LOOKS) >= seen + 2 * WORKFLOWS, 180, "it looks again")  # noqa: B023
    assert [version(cluster, namespace) for namespace in namespaces] == before


def version(cluster: Cluster, namespace: str) -> str:
    """What changes with every write."""
    found = cluster.api.get("LLMWorkflow", NAME, namespace)
    assert found is not None
    written: str = found["metadata"]["resourceVersion"]
    return written
