"""The commands, run as people run them, against the real API server, KubeRay and operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .api import eventually
from .command import Person
from .conftest import Cluster
from .operator_process import MANIFESTS, OperatorProcess, install
from .supplies import claim
from .workflows import NAME, left, wait_for, workflow

POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    install(cluster.api)
    operator = OperatorProcess(cluster, tmp_path_factory.mktemp("operator"), userVerified=True)
    try:
        operator.start_up()
        yield operator
    finally:
        operator.stop()


@pytest.fixture
def alice(cluster: Cluster, namespace: str, tmp_path: Path) -> Person:
    """An admin of the namespace."""
    return _person(cluster, "alice", "admin", namespace, tmp_path)


@pytest.fixture
def bob(cluster: Cluster, namespace: str, tmp_path: Path) -> Person:
    """Someone who may edit what is in the namespace, and approve nothing."""
    return _person(cluster, "bob", "edit", namespace, tmp_path)


@pytest.fixture
def policy(cluster: Cluster, namespace: str) -> Iterator[None]:
    """The admission policy of the chart, for this namespace."""
    found = [item for item in _shipped() if item["kind"] in POLICIES]
    for item in found:
        if item["kind"] == POLICIES[1]:
            labels = {"kubernetes.io/metadata.name": namespace}
            item["spec"]["matchResources"] = {"namespaceSelector": {"matchLabels": labels}}
        cluster.api.apply(item)
    yield
    for item in found:
        cluster.api.delete(item["kind"], item["metadata"]["name"])


def _shipped() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / "operator.yaml").read_text()))


def _person(cluster: Cluster, name: str, role: str, namespace: str, folder: Path) -> Person:
    cluster.api.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
        }
    )
    home = folder / name
    home.mkdir()
    return Person(cluster, name, namespace, home)


def _file(person: Person, **spec: Any) -> Path:
    """A workflow file that names no namespace."""
    content = workflow(person.namespace, **spec)
    del content["metadata"]["namespace"]
    path = person.home / "workflow.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_workflow_is_applied_shown_changed_and_deleted(
    cluster: Cluster, namespace: str, operator: OperatorProcess, alice: Person
) -> None:
    claim(cluster.api, namespace, "artifacts")
    file = _file(alice)
    assert ["tune", "fineTune", "create"] in [
        line.split()[:3] for line in alice.does("plan", file).splitlines()
    ]
    assert cluster.api.get("LLMWorkflow", NAME, namespace) is None
    named = f"llmworkflow.llmworkflow.io/{NAME}"
    assert alice.does("apply", "-f", file) == f"{named} created\n"
    assert alice.does("apply", file) == f"{named} unchanged\n"
    told = alice.does("apply", file, "--wait")
    assert "Serving model viggo" in told
    rows = [line.split() for line in alice.does("status").splitlines()]
    assert rows[0] == ["NAMESPACE", "NAME", "STAGE", "STATUS", "READY", "SCORE", "URL", "AGE"]
    assert rows[1][:5] == [namespace, NAME, "chat", "Serving", "True"]
    assert "EndpointVerified" in alice.does("status", "-o", "wide")
    assert "exactMatch 0.810 (0.780-0.840, n=1000)" in alice.does("status", NAME)
    assert json.loads(alice.does("status", NAME, "-o", "json"))["status"]["phase"] == "Serving"
    assert yaml.safe_load(alice.does("status", "-o", "yaml"))["kind"] == "LLMWorkflow"
    assert alice.does("status", "-o", "name") == f"{named}\n"
    plan = [line.split()[:3] for line in alice.does("plan", file).splitlines()]
    assert ["tune", "fineTune", "reuse"] in plan
    assert alice.does("delete", NAME) == f"{named} deleted\n"
    eventually(lambda: left(cluster.api, namespace) == ["RoleBinding alice"], 60, "nothing is left")


def test_approval_is_the_users_own_and_needs_the_right(
    cluster: Cluster, namespace: str, operator: OperatorProcess, policy: None, alice: Person, bob: Person
) -> None:
    claim(cluster.api, namespace, "artifacts")
    stages = workflow(namespace)["spec"]["stages"][:2]
    stages[1]["approval"] = {"required": True}
    alice.does("apply", _file(alice, stages=stages))
    eventually(
        lambda: "AwaitingApproval" in alice.does("status", NAME), 60, "the second stage awaits approval"
    )
    refused = bob.fails("approve", NAME)
    assert "bob needs the verb approve on llmworkflows" in refused
    assert alice.does("approve", "--note", "read 20 rows").startswith("score: Succeeded approved by alice")
    record = wait_for(cluster, namespace, "Succeeded")["status"]["stages"][1]["approval"]
    assert (record["user"], record["verified"], record["note"]) == ("alice", True, "read 20 rows")
    assert "score is Succeeded" in alice.fails("approve")
    assert bob.does("retry", "--from", "score").startswith("score: ")
