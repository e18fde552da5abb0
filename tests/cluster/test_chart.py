"""The chart, installed, upgraded and uninstalled as people do it, and the operator with the rights that it gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, NAMESPACE, RELEASE, HelmError, helm, setting

from .api import condition, eventually
from .conftest import CRDS, Cluster
from .operator_process import ACCOUNT, OperatorProcess
from .scripts import NEVER_ENDS, JobScript
from .workflows import NAME, begin, states, told, wait_for

pytestmark = pytest.mark.timeout(240)

CRD = CRDS[0]
MANIFESTS = Path(__file__).parents[2] / "manifests"


class Release:
    """One installation."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder

    def helm(self, *arguments: str | Path) -> str:
        place = ["--kubeconfig", self.cluster.control_plane.kubeconfig, "--namespace", NAMESPACE]
        return helm(*arguments, *place)

    def install(self, chart: Path = CHART, **values: Any) -> str:
        return self.helm("install", RELEASE, chart, "--create-namespace", *setting(values))

    def upgrade(self, **values: Any) -> str:
        return self.helm("upgrade", RELEASE, CHART, *setting(values))

    def operator(self, name: str) -> OperatorProcess:
        """The operator with the settings and the account that are installed."""
        found = self.cluster.api.get("ConfigMap", ACCOUNT, NAMESPACE)
        assert found is not None
        settings = yaml.safe_load(found["data"]["settings.yaml"])
        return OperatorProcess(self.cluster, self.folder, name, **{**settings, "port": None})


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Iterator[Release]:
    """None is installed yet, though the definitions are there."""
    found = Release(cluster, tmp_path)
    yield found
    found.helm("uninstall", RELEASE, "--ignore-not-found", "--wait")
    # The other tests have a definition that is nobody's.
    cluster.kubectl("annotate", "crd", CRD, *(f"meta.helm.sh/release-{part}-" for part in ("name", "namespace")))
