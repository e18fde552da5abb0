"""The commands, run as people run them, against the real API server, KubeRay and operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import yaml

from .api import eventually
from .binaries import binary
from .command import Person, with_role, workflow_file
from .conftest import Cluster
from .control_plane import ADMIN
from .operator_process import MANIFESTS, OperatorProcess, at_work
from .scripts import NEVER_ENDS
from .supplies import claim
from .workflows import NAME, left, wait_for, workflow

KEYS = {"secretKeyRef": {"name": "keys", "key": "keys"}}
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with at_work(cluster, tmp_path_factory.mktemp("operator"), userVerified=True) as operator:
        yield operator


@pytest.fixture
def alice(cluster: Cluster, namespace: str, tmp_path: Path) -> Person:
    """An admin of the namespace."""
    return with_role(cluster, "alice", "admin", namespace, tmp_path)


@pytest.fixture
def bob(cluster: Cluster, namespace: str, tmp_path: Path) -> Person:
    """Someone who may edit what is in the namespace, and approve nothing."""
    return with_role(cluster, "bob", "edit", namespace, tmp_path)


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


def _rows(table: str) -> list[list[str]]:
    return [line.split()[:2] for line in table.splitlines()]


def _place(person: Person) -> str:
    return f"namespace {person.namespace} of cluster test"


@pytest.mark.capability("clients")
def test_a_workflow_is_applied_shown_changed_and_deleted(
    cluster: Cluster, namespace: str, operator: OperatorProcess, alice: Person
) -> None:
    claim(cluster.api, namespace, "artifacts")
    file = workflow_file(alice)
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
    told = alice.does("events", NAME)
    assert "tune: Starting -> Running" in told
    assert "LLMWorkflow/viggo" in told
    eventually(lambda: not cluster.api.list("RayJob", namespace), 30, "the jobs that are done are gone")
    assert alice.does("logs", NAME, "tune") == "python -m llmworkflow_jobs.fine_tune began\n"
    assert alice.does("logs", NAME, "chat") == "the fake engine is up\n"
    assert alice.does("chat", NAME, "Hello") == "name(Fake)\n"
    assert alice.does("chat", NAME, stdin="Hello\nAgain\n") == "name(Fake)\nname(Fake)\n"
    (model,) = json.loads(alice.does("models", "-o", "json"))
    assert (model["stage"], model["serves"], model["scores"]) == ("tune", [NAME], {"exactMatch": 0.81})
    page = alice.home / "page.html"
    assert alice.does("report", NAME, "-o", page) == f"{page}\n"
    assert f"volume claim {namespace}/artifacts" in page.read_text()
    assert "0.810" in page.read_text()
    assert alice.does("delete", NAME) == f"{named} deleted\n"
    eventually(lambda: left(cluster.api, namespace) == ["RoleBinding alice"], 60, "nothing is left")


@pytest.mark.capability("approval")
def test_approval_is_the_users_own_and_needs_the_right(
    cluster: Cluster, namespace: str, operator: OperatorProcess, policy: None, alice: Person, bob: Person
) -> None:
    claim(cluster.api, namespace, "artifacts")
    stages = workflow(namespace)["spec"]["stages"][:2]
    stages[1]["approval"] = {"required": True}
    alice.does("apply", workflow_file(alice, stages=stages))
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


def test_kubectl_has_the_commands_as_a_plugin(alice: Person) -> None:
    done = alice.starts(binary("kubernetes", "kubectl"), "llmwf", "status")
    assert (done.code, done.err) == (0, f"there is no workflow in {_place(alice)}\n")
    assert "Usage: kubectl llmwf status" in alice.starts("kubectl-llmwf", "status", "--help").out


@pytest.mark.capability("clients")
def test_the_doctor_tells_what_is_there_and_what_one_may_do(
    cluster: Cluster, namespace: str, bob: Person
) -> None:
    ended = bob.run("doctor")
    rows = {line.split("  ")[0]: line for line in ended.out.splitlines()}
    assert (ended.code, ended.err) == (0, "")
    assert " ok " in rows["rayjobs.ray.io"]
    assert " ok " in rows["logs of jobs that run, chat"]
    assert f"you may not approve llmworkflows.llmworkflow.io in {namespace}" in rows["approve"]
    assert "you may not look at that" in rows["GPUs"]
    told = Person(cluster, ADMIN, namespace, bob.home).run("doctor").out
    assert "64 NVIDIA-L4" in told
    assert "it has preRunningDeadlineSeconds" in told


def test_whoever_may_only_look_is_told_what_is_closed(
    cluster: Cluster, namespace: str, operator: OperatorProcess, tmp_path: Path
) -> None:
    bob = with_role(cluster, "bob", "view", namespace, tmp_path)
    stages = workflow(namespace)["spec"]["stages"]
    claim(cluster.api, namespace, "artifacts")
    cluster.dashboard.script_job(namespace, "score", NEVER_ENDS)
    cluster.api.create(workflow(namespace, stages=stages[:2]))
    eventually(lambda: ["score", "Running"] in _rows(bob.does("status", NAME)), 60, "the second stage runs")
    eventually(lambda: len(cluster.api.list("RayJob", namespace)) == 1, 30, "the first job is gone")
    assert bob.does("logs", NAME, "tune") == "python -m llmworkflow_jobs.fine_tune began\n"
    assert "secrets" in bob.fails("logs", NAME, "score")
    assert "tune: Starting -> Running" in bob.does("events", NAME)
    assert "cannot patch" in bob.fails("cancel", NAME, "score")
    assert "role `edit`" in bob.does("doctor")


def test_what_a_cluster_refuses_is_told_in_a_line(
    cluster: Cluster, namespace: str, operator: OperatorProcess, bob: Person
) -> None:
    assert f"no workflow other in {_place(bob)}; there are: none" in bob.fails("status", "other")
    assert "forbidden" in bob.fails("status", "-n", "kube-system")
    assert "has no context nowhere" in bob.fails("status", "--context", "nowhere")
    assert "did you mean suspend?" in bob.fails("apply", workflow_file(bob, suspended=True), code=2)
    stages = workflow(namespace)["spec"]["stages"][:1]
    bob.does("apply", workflow_file(bob, stages=stages))
    assert f"{NAME} is suspended" in bob.does("suspend")
    assert cluster.api.get("LLMWorkflow", NAME, namespace)["spec"]["suspend"] is True  # type: ignore[index]
    bob.does("apply", workflow_file(bob, stages=stages))  # which does not speak of it
    assert cluster.api.get("LLMWorkflow", NAME, namespace)["spec"]["suspend"] is True  # type: ignore[index]
    assert bob.does("resume") == f"{NAME} goes on\n"
    assert "serves nothing now" in bob.fails("rollback", NAME, "tune")


@pytest.mark.capability("clients")
def test_a_log_is_followed_until_its_job_ends(
    cluster: Cluster, namespace: str, operator: OperatorProcess, alice: Person
) -> None:
    claim(cluster.api, namespace, "artifacts")
    cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    alice.does("apply", workflow_file(alice, stages=workflow(namespace)["spec"]["stages"][:1]))
    began = "python -m llmworkflow_jobs.fine_tune began\n"
    eventually(lambda: alice.run("logs", NAME, "tune").out == began, 60, "the job prints")
    Timer(1.0, cluster.dashboard.finish_jobs, [namespace]).start()
    assert alice.does("logs", NAME, "tune", "-f").splitlines() == [began.strip(), "SUCCEEDED"]
    assert "its stages are tune" in alice.fails("logs", NAME, "tuna")


def test_an_endpoint_that_asks_for_a_key_gets_that_of_its_secret(
    cluster: Cluster, namespace: str, operator: OperatorProcess, alice: Person
) -> None:
    stage = {"name": "chat", "serve": {"models": [{"modelId": "viggo"}], "apiKeysFrom": KEYS}}
    claim(cluster.api, namespace, "artifacts")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": namespace}}
    cluster.api.create({**secret, "stringData": {"keys": "sk-1,sk-2\n"}})
    alice.does("apply", workflow_file(alice, stages=[stage]), "--wait")
    assert alice.does("chat", NAME, "Hello") == "name(Fake)\n"
    cluster.api.patch("Secret", "keys", namespace, {"stringData": {"keys": "\n"}})
    assert "secret keys holds no key" in alice.fails("chat", NAME, "Hello")
