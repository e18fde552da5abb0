"""Definitions that come late, go and come back: the operator stays up, says what it lacks, and picks it up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .api import Api, condition, eventually, read_yaml
from .conftest import KUBERAYS, OWN, OWN_CRD, Cluster, install_kuberay, started, wait_until_served
from .operator_process import OperatorProcess, at_work
from .workflows import NAME, begin

pytestmark = pytest.mark.timeout(900)

SECONDS = 180


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Cluster]:
    """A control plane that knows neither workflows nor KubeRay, which does not run."""
    with started(tmp_path, lambda _: None) as cluster:
        cluster.kuberay.stop()
        yield cluster


@pytest.fixture
def operator(bare: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    with at_work(bare, tmp_path) as operator:
        yield operator


def test_definitions_come_go_and_come_back_without_a_restart(
    bare: Cluster, operator: OperatorProcess
) -> None:
    says(operator, "LLMWorkflow: its CRD is absent", "KubeRay: its CRDs of ray.io/v1 are absent")
    define_workflows(bare.api)
    says(operator, "KubeRay: its CRDs of ray.io/v1 are absent")
    namespace = bare.make_namespace()
    begin(bare, namespace)
    eventually(lambda: stalled_by(bare, namespace) == "KubeRayMissing", SECONDS, "the workflow says so")
    install_kuberay(bare.api)
    says(operator)
    first = job(bare, namespace)

    bare.api.delete("CustomResourceDefinition", KUBERAYS[0])
    says(operator, "KubeRay: its CRDs of ray.io/v1 are absent")
    eventually(lambda: stalled_by(bare, namespace) == "KubeRayMissing", SECONDS, "the workflow says so")
    install_kuberay(bare.api)
    says(operator)
    assert job(bare, namespace) != first, "what went with the definition is another attempt"

    bare.api.delete("CustomResourceDefinition", OWN)
    says(operator, "LLMWorkflow: its CRD is absent")
    define_workflows(bare.api)
    says(operator)
    begin(bare, namespace)
    uid = workflow_uid(bare, namespace)
    eventually(lambda: uid in owners(bare, namespace), SECONDS, "the new workflow has a job of its own")


def says(operator: OperatorProcess, *lacks: str) -> None:
    """It is alive, and ready where it lacks nothing; else it says what it lacks, and nothing else."""

    def does() -> bool:
        answer = operator.get("/readyz")
        told = [line for line in answer.text.splitlines() if not line.startswith("role: ")]
        as_told = len(told) == len(lacks) and all(map(str.startswith, told, lacks))
        return as_told and answer.is_success == (not lacks)

    eventually(does, SECONDS, f"it says that it lacks {lacks}")
    assert operator.get("/healthz").is_success


def define_workflows(api: Api) -> None:
    eventually(lambda: api.get("CustomResourceDefinition", OWN) is None, SECONDS, "the earlier one is gone")
    api.apply(read_yaml(OWN_CRD))
    wait_until_served(api, OWN)


def stalled_by(cluster: Cluster, namespace: str) -> str:
    found = condition(cluster.api.get("LLMWorkflow", NAME, namespace) or {}, "Stalled")
    return str(found.get("reason")) if found.get("status") == "True" else ""


def workflow_uid(cluster: Cluster, namespace: str) -> str:
    found = cluster.api.get("LLMWorkflow", NAME, namespace)
    assert found is not None
    uid: str = found["metadata"]["uid"]
    return uid


def owners(cluster: Cluster, namespace: str) -> set[str]:
    """Uids of the workflows whose jobs are there."""
    return {
        owner["uid"]
        for found in cluster.api.list("RayJob", namespace)
        for owner in found["metadata"]["ownerReferences"]
    }


def job(cluster: Cluster, namespace: str) -> str:
    """Uid of the first job, once it is there."""
    (found,) = eventually(lambda: cluster.api.list("RayJob", namespace), SECONDS, "the first job is created")
    uid: str = found["metadata"]["uid"]
    return uid
