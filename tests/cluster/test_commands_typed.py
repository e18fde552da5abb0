"""What people do to a workflow on a cluster, in the words that they type: the programs that are installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .api import eventually
from .command import Person, with_role, workflow_file
from .conftest import Cluster
from .operator_process import OperatorProcess, at_work
from .scripts import NEVER_ENDS
from .supplies import claim
from .workflows import NAME, left, workflow

SECONDS = 100
NOWHERE = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
"""


@pytest.fixture(scope="module", autouse=True)
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with at_work(cluster, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture
def alice(cluster: Cluster, namespace: str, tmp_path: Path) -> Person:
    """An admin of the namespace, in which there is a volume."""
    claim(cluster.api, namespace, "artifacts")
    return with_role(cluster, "alice", "admin", namespace, tmp_path)


def stage(person: Person, name: str) -> dict[str, Any]:
    """What the status says of a stage."""
    found = person.cluster.api.get("LLMWorkflow", NAME, person.namespace) or {}
    stages = found.get("status", {}).get("stages", [])
    return next((item for item in stages if item["name"] == name), {})


def until(person: Person, name: str, state: str, **more: Any) -> None:
    wanted = {"state": state, **more}.items()
    eventually(lambda: wanted <= stage(person, name).items(), SECONDS, f"{name} is {dict(wanted)}")


def serving(person: Person) -> str | None:
    """The revision that serves, once it does."""
    chat = stage(person, "chat")
    return str(chat["serving"]["revision"]) if chat["state"] == "Serving" else None


@pytest.mark.capability("approval")
def test_what_a_stage_made_is_rejected_then_made_again_and_approved(alice: Person) -> None:
    stages = workflow(alice.namespace)["spec"]["stages"][:2]
    stages[1]["approval"] = {"required": True}
    alice.types(f"llmworkflow apply -f {workflow_file(alice, stages=stages)}")
    until(alice, "score", "AwaitingApproval")
    page = alice.home / "page.html"
    assert alice.types(f"llmworkflow report --output {page} 2>&1") == f"{page}\n"
    assert "0.810" in page.read_text()
    assert alice.types(f"llmworkflow logs {NAME} tune 2>&1").startswith(
        "python -m llmworkflow_jobs.fine_tune"
    )

    told = alice.types(f"llmworkflow reject {NAME} --note 'ten rows are wrong'")
    assert told.startswith("score: Failed")
    record = stage(alice, "score")["approval"]
    assert (record["user"], record["approved"], record["note"]) == ("alice", False, "ten rows are wrong")
    assert "ten rows are wrong" in alice.types(f"llmworkflow status {NAME}")

    assert alice.types(f"kubectl llmwf retry {NAME} --from score").startswith("score: ")
    until(alice, "score", "AwaitingApproval", attempt=2)
    assert alice.types("kubectl llmwf approve").startswith("score: Succeeded approved by alice")
    found = json.loads(alice.types(f"kubectl llmwf status {NAME} -o json"))
    assert found["status"]["phase"] == "Succeeded"


@pytest.mark.capability("clients")
def test_a_job_is_suspended_resumed_cancelled_and_run_after_all(cluster: Cluster, alice: Person) -> None:
    cluster.dashboard.script_job(alice.namespace, "tune", NEVER_ENDS)
    alice.types(
        f"llmworkflow apply {workflow_file(alice, stages=workflow(alice.namespace)['spec']['stages'][:1])}"
    )
    with alice.follows("status", NAME, "--watch") as printed:

        def shows(state: str) -> bool:
            lines = printed.read_text().splitlines()
            return bool(lines) and lines[-1].startswith(f"tune: {state}")

        eventually(lambda: shows("Running"), SECONDS, "it runs")
        assert f"{NAME} is suspended" in alice.types("llmworkflow suspend")
        eventually(lambda: shows("Queued"), SECONDS, "it is suspended")
        assert cluster.api.list("RayJob", alice.namespace) == []
        assert alice.types("llmworkflow resume") == f"{NAME} goes on\n"
        eventually(lambda: shows("Running"), SECONDS, "it goes on")
    assert stage(alice, "tune")["attempt"] == 1

    assert alice.types(f"llmworkflow cancel {NAME} tune").startswith("tune: ")
    until(alice, "tune", "Cancelled")
    assert cluster.api.list("RayJob", alice.namespace) == []
    assert alice.types("llmworkflow retry").startswith("tune: ")
    until(alice, "tune", "Running")
    cluster.dashboard.finish_jobs(alice.namespace)
    alice.types(f"kubectl wait --for=condition=Ready llmwf/{NAME} --timeout={SECONDS}s")
    assert alice.types(f"llmworkflow delete {NAME}").endswith(f"/{NAME} deleted\n")
    eventually(lambda: left(cluster.api, alice.namespace) == ["RoleBinding alice"], 60, "nothing is left")


def test_an_endpoint_goes_back_to_what_it_served(alice: Person) -> None:
    tune, _, _, chat = workflow(alice.namespace)["spec"]["stages"]
    file = workflow_file(alice, stages=[tune, chat])
    alice.types(f"llmworkflow apply {file} --wait")
    first = serving(alice)
    tune["fineTune"]["training"] = {"seed": 1}
    assert " configured" in alice.types(f"llmworkflow apply {workflow_file(alice, stages=[tune, chat])}")

    eventually(lambda: serving(alice) not in (None, first), SECONDS, "the second adapter serves")
    assert alice.types(f"llmworkflow rollback {NAME}").startswith("chat: ")

    eventually(lambda: serving(alice) == first, SECONDS, "the first adapter serves again")
    found = yaml.safe_load(alice.types(f"llmworkflow status {NAME} -o yaml"))
    assert found["status"]["serving"]["pinned"] is True
    assert alice.types(f"llmworkflow chat {NAME} Hello 2>&1") == "name(Fake)\n"
    assert "chat: Serving -> Upgrading" in alice.types(f"kubectl llmwf events {NAME}")


@pytest.mark.capability("clients")
def test_the_place_is_that_of_the_kubeconfigs_the_context_and_the_namespace(
    cluster: Cluster, alice: Person, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere.kubeconfig"
    nowhere.write_text(NOWHERE)
    one = workflow(alice.namespace)["spec"]["stages"][:1]
    elsewhere = with_role(cluster, "alice", "edit", cluster.make_namespace(), tmp_path / "alice")
    file = workflow_file(alice, stages=one, suspend=True)
    both = f"export KUBECONFIG={nowhere}:$KUBECONFIG; "

    assert "http://127.0.0.1:1 does not answer" in alice.types(f"{both} ! llmworkflow status 2>&1")
    told = alice.types(f"{both} llmworkflow doctor --context test 2>&1")
    assert told.startswith("CHECK"), "nobody complains of anything"
    assert f"you may approve llmworkflows.llmworkflow.io in {alice.namespace}" in told
    alice.types(f"{both} llmworkflow apply {file} --context test")
    assert cluster.api.get("LLMWorkflow", NAME, alice.namespace), "the namespace is that of the context"
    alice.types(f"{both} kubectl llmwf apply {file} --context test --namespace {elsewhere.namespace}")
    for place in (alice.namespace, elsewhere.namespace):
        typed = f"{both} kubectl llmwf status {NAME} --context test -n {place}"
        assert json.loads(alice.types(f"{typed} -o json"))["metadata"]["namespace"] == place
        assert yaml.safe_load(alice.types(f"{typed} -o yaml"))["metadata"]["namespace"] == place
