"""A cluster without KubeRay, or with one from before ray.io/v1: the operator says so, and goes on once it is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmworkflow.api.status import StageState as S

from .api import Object, eventually, read_yaml
from .binaries import built
from .conftest import KUBERAYS, Cluster, install, install_kuberay, started
from .job_journeys import tune
from .operator_process import OperatorProcess
from .operator_process import install as install_operator
from .scene import Scene

pytestmark = pytest.mark.timeout(600)  # nearly all of it for a machine that is busy


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster from which KubeRay was taken away."""
    with started(tmp_path, install) as cluster:
        cluster.kuberay.stop()
        for crd in KUBERAYS:
            cluster.api.delete("CustomResourceDefinition", crd)
            eventually(lambda crd=crd: _definition(cluster, crd) is None, 90, f"{crd} is gone")
        yield cluster


def test_kuberay_comes_later(bare: Cluster, tmp_path: Path) -> None:
    install_operator(bare.api)
    operator = OperatorProcess(bare, tmp_path)
    operator.start_up()
    try:
        eventually(lambda: "install KubeRay" in operator.readiness(), 90, "readiness says what is missing")
        assert operator.get("/readyz").status_code == 503
        scene = Scene(bare)
        scene.begin(tune())
        remedy = "install KubeRay 1.6 or newer: this goes on by itself then"
        scene.stalls("KubeRayMissing", "the cluster has no RayJob or no RayService of ray.io/v1", remedy)
        for crd in KUBERAYS:
            bare.api.apply(_too_old(crd))
        assert "install KubeRay" in operator.readiness()
        install_kuberay(bare.api)
        bare.kuberay.start()
        scene.until("tune", S.SUCCEEDED)
        assert operator.get("/readyz").is_success
        assert operator.alive
    finally:
        operator.stop()


def _definition(cluster: Cluster, crd: str) -> Object | None:
    return cluster.api.get("CustomResourceDefinition", crd)


def _too_old(crd: str) -> Object:
    """A definition as it was before there was a version v1."""
    found = read_yaml(built("kuberay") / "crds" / f"ray.io_{crd.partition('.')[0]}.yaml")
    for version in found["spec"]["versions"]:
        version["served"] = version["name"] != "v1"
    return found
