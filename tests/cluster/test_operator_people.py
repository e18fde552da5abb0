"""Who decides is who the API server says it is: with the admission policy and the roles for people that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .api import Api, ApiError, eventually
from .conftest import Cluster
from .operator_process import MANIFESTS, OperatorProcess, at_work
from .supplies import claim
from .workflows import NAME, states, told, wait_for, workflow

pytestmark = pytest.mark.timeout(900)

POLICY = ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy")
PEOPLE = "llmworkflow-operator-"  # and a role of the cluster's own, which takes it over
PREFIX = "llmworkflow.io/"


@pytest.fixture
def operator(cluster: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    """With what a person applies beside it: the policy, and what may be done by whom."""
    shipped = list(yaml.safe_load_all((MANIFESTS / "install.yaml").read_text()))
    for manifest in shipped:
        named = manifest["metadata"]["name"]
        if manifest["kind"] in POLICY or (manifest["kind"] == "ClusterRole" and named.startswith(PEOPLE)):
            cluster.api.apply(manifest)
    with at_work(cluster, tmp_path, userVerified=True) as operator:
        yield operator
    for manifest in shipped:
        if manifest["kind"] in POLICY:
            cluster.api.delete(manifest["kind"], manifest["metadata"]["name"])


@pytest.fixture
def people(cluster: Cluster, namespace: str, operator: OperatorProcess) -> Iterator[tuple[Api, Api]]:
    """Alice, who has the cluster's role `admin` in the namespace, and Bob, who has `edit`."""
    for name, role in (("alice", "admin"), ("bob", "edit")):
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}],
        }
        cluster.api.create(binding)
    with cluster.as_user("alice") as alice, cluster.as_user("bob") as bob:
        eventually(lambda: refused(bob, namespace, "list") is None, 180, "roles are put together")
        yield alice, bob


@pytest.mark.capability("approval")
def test_only_who_may_approve_does_and_in_the_own_name_alone(
    cluster: Cluster, namespace: str, operator: OperatorProcess, people: tuple[Api, Api]
) -> None:
    alice, bob = people
    claim(cluster.api, namespace, "artifacts")
    manifest = workflow(namespace)
    manifest["spec"]["stages"][1]["approval"] = {"required": True}
    bob.create(manifest)
    eventually(
        lambda: states(cluster.api, namespace).get("score") == "AwaitingApproval",
        240,
        f"a decision is waited for; {told(cluster.api, namespace)}",
    )
    score = stage_of(cluster, namespace, "score")
    approval = {"approve": f"score@{score['revision']}#1"}
    eventually(
        lambda: refused(bob, namespace, "annotate", requested_by="alice"), 180, "the policy is in force"
    )
    assert "has to be bob" in refusal(bob, namespace, **approval, requested_by="alice")
    assert "bob needs the verb approve" in refusal(bob, namespace, **approval, requested_by="bob")
    assert "has to be alice" in refusal(alice, namespace, **approval, requested_by="bob")
    assert "has to be alice" in refusal(alice, namespace, **approval)
    assert "is not of the form" in refusal(alice, namespace, approve="score", requested_by="alice")
    assert "changes together with an action only" in refusal(bob, namespace, requested_by="bob")
    forged: Any = {"stages": [score | {"state": "Succeeded"}]}
    with pytest.raises(ApiError, match="403 Forbidden"):
        bob.patch("LLMWorkflow", NAME, namespace, {"status": forged}, "status")
    bob.patch("LLMWorkflow", NAME, namespace, {"status": forged})
    assert states(cluster.api, namespace)["score"] == "AwaitingApproval"

    operator.stop()
    annotate(alice, namespace, **approval, requested_by="alice", note="better than before")
    assert "of alice is yet to be carried out" in refusal(bob, namespace, retry="label#2", requested_by="bob")
    operator.start_up()
    record = eventually(lambda: stage_of(cluster, namespace, "score").get("approval"), 180, "it is recorded")
    assert (record["user"], record["verified"], record["approved"]) == ("alice", True, True)
    assert record["note"] == "better than before"
    annotate(bob, namespace, retry="label#3", requested_by="bob")
    wait_for(cluster, namespace, "Ready")
    assert "403" not in operator.log.read_text()


def stage_of(cluster: Cluster, namespace: str, name: str) -> Any:
    found = cluster.api.get("LLMWorkflow", NAME, namespace) or {}
    return next(stage for stage in found["status"]["stages"] if stage["name"] == name)


def annotate(user: Api, namespace: str, **annotations: str) -> None:
    """Ask as the commands do."""
    named = {PREFIX + key.replace("_", "-"): value for key, value in annotations.items()}
    user.patch("LLMWorkflow", NAME, namespace, {"metadata": {"annotations": named}})


def refusal(user: Api, namespace: str, **annotations: str) -> str:
    """What the API server says to it."""
    with pytest.raises(ApiError) as refused:
        annotate(user, namespace, **annotations)
    return refused.value.message


def refused(user: Api, namespace: str, what: str, **annotations: str) -> str | None:
    """Why a user may not do something yet."""
    try:
        if what == "list":
            user.list("LLMWorkflow", namespace)
        else:
            annotate(user, namespace, **annotations)
    except ApiError as error:
        return error.message
    return None
