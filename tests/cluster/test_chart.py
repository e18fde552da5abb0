"""The chart, installed, upgraded and uninstalled as people do it, and the operator with the rights that it gives."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chart.helm import CHART, NAMESPACE, RELEASE, helm, setting

from .api import eventually
from .conftest import OWN, Cluster, install_kuberay, started, wait_until_served
from .operator_process import ACCOUNT, OperatorProcess
from .scripts import NEVER_ENDS
from .workflows import NAME, begin, states, told, wait_for

pytestmark = pytest.mark.timeout(240)

MANIFESTS = CHART.parents[1] / "manifests"


class Release:
    """One installation, on a cluster that has nothing of the project yet."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder

    def helm(self, *arguments: str | Path) -> str:
        """What a person types, on this cluster."""
        place = ["--kubeconfig", self.cluster.control_plane.kubeconfig, "--namespace", NAMESPACE]
        return helm(*arguments, *place)

    def install(self, chart: Path = CHART, **values: Any) -> None:
        self.helm("install", RELEASE, chart, "--create-namespace", *setting(values))
        wait_until_served(self.cluster.api, OWN)

    def upgrade(self, **values: Any) -> None:
        self.helm("upgrade", RELEASE, CHART, *setting(values))

    def operator(self, name: str) -> OperatorProcess:
        """The operator with the settings and the account that are installed."""
        found = self.cluster.api.get("ConfigMap", ACCOUNT, NAMESPACE)
        assert found is not None
        settings = yaml.safe_load(found["data"]["settings.yaml"])
        del settings["port"]  # of a pod, which is alone with it
        return OperatorProcess(self.cluster, self.folder, name, **settings)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with KubeRay alone."""
    with started(tmp_path_factory.mktemp("fresh"), install_kuberay) as cluster:
        yield cluster


@pytest.fixture
def release(fresh: Cluster, tmp_path: Path) -> Iterator[Release]:
    """Nothing is installed before, and nothing after."""
    found = Release(fresh, tmp_path)
    yield found
    found.helm("uninstall", RELEASE, "--ignore-not-found")
    clean(fresh)


@pytest.fixture
def by_kubectl(fresh: Cluster, tmp_path: Path) -> Iterator[Release]:
    """The same with kubectl in place of Helm."""
    yield Release(fresh, tmp_path)
    fresh.kubectl("delete", "--wait=false", "-f", str(MANIFESTS / "install.yaml"))
    clean(fresh)


def clean(cluster: Cluster) -> None:
    for kind, name in (("CustomResourceDefinition", OWN), ("Namespace", NAMESPACE)):
        cluster.api.delete(kind, name)
        eventually(partial(_gone, cluster, kind, name), 60, f"{kind} {name} is gone")


def _gone(cluster: Cluster, kind: str, name: str) -> bool:
    return cluster.api.get(kind, name) is None


@pytest.fixture
def team(fresh: Cluster) -> str:
    return fresh.make_namespace()


def older(folder: Path) -> Path:
    """The chart as it was one version before."""
    chart = folder / "older"
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "0.0.9", "appVersion": "0.0.9"}))
    definition = yaml.safe_load((chart / "files" / "crd.yaml").read_text())
    del definition["spec"]["versions"][0]["additionalPrinterColumns"]
    (chart / "files" / "crd.yaml").write_text(yaml.safe_dump(definition))
    return chart


def running(release: Release, team: str) -> OperatorProcess:
    """A workflow whose first job runs, looked after by the operator that is installed."""
    operator = release.operator("first")
    operator.start_up()
    release.cluster.dashboard.script_job(team, "tune", NEVER_ENDS)
    begin(release.cluster, team)
    eventually(
        lambda: states(release.cluster.api, team).get("tune") == "Running",
        90,
        f"the job runs; {told(release.cluster.api, team)}",
    )
    return operator


def uids(cluster: Cluster, team: str) -> list[str]:
    """Of the workflow and its job."""
    kinds = ("LLMWorkflow", "RayJob")
    return [found["metadata"]["uid"] for kind in kinds for found in cluster.api.list(kind, team)]


@pytest.mark.capability("installation")
def test_a_workflow_survives_upgrade_uninstall_and_installation_anew(release: Release, team: str) -> None:
    cluster = release.cluster
    release.install(older(release.folder))
    assert columns(cluster) == 0
    operator = running(release, team)
    before = uids(cluster, team)
    assert len(before) == 2

    release.upgrade()
    assert columns(cluster) > 0, "the definition is upgraded"
    operator.stop()
    operator = release.operator("second")
    operator.start_up()
    eventually(lambda: "leader" in operator.readiness(), 60, "the new operator acts")

    operator.stop()
    release.helm("uninstall", RELEASE)
    assert cluster.api.get("ClusterRole", ACCOUNT) is None
    assert uids(cluster, team) == before, "with the definition, all workflows stay"

    release.install()
    operator = release.operator("third")
    operator.start_up()
    eventually(lambda: "leader" in operator.readiness(), 60, "the operator acts again")
    cluster.dashboard.finish_jobs(team)
    wait_for(cluster, team, "Ready", seconds=120)
    assert uids(cluster, team)[0] == before[0]
    operator.stop()
    submitted = {stage: ids for (place, stage), ids in cluster.dashboard.submissions.items() if place == team}
    assert all(len(ids) == 1 for ids in submitted.values()), "nothing ran twice"


def columns(cluster: Cluster) -> int:
    """How many columns kubectl shows of a workflow."""
    found = cluster.api.get("CustomResourceDefinition", OWN)
    assert found is not None
    return len(found["spec"]["versions"][0].get("additionalPrinterColumns", []))


def test_a_list_of_namespaces_gives_rights_in_those_alone(release: Release, team: str) -> None:
    cluster, foreign = release.cluster, release.cluster.make_namespace()
    release.install(watchNamespaces=[team])
    assert can(cluster, "create", "rayjobs.ray.io", team)
    for what in ("rayjobs.ray.io", "configmaps", "roles.rbac.authorization.k8s.io"):
        assert not can(cluster, "create", what, foreign)
    assert not can(cluster, "get", "secrets", team)
    operator = release.operator("namespaced")
    operator.start_up()
    begin(cluster, foreign)
    begin(cluster, team)
    wait_for(cluster, team, "Ready")
    operator.stop()
    untouched = cluster.api.get("LLMWorkflow", NAME, foreign)
    assert untouched is not None
    assert "status" not in untouched
    assert "403" not in operator.log.read_text()


def can(cluster: Cluster, verb: str, what: str, namespace: str) -> bool:
    """Whether the operator's account may do something."""
    group, resource = ("", what) if "." not in what else (what.partition(".")[2], what.partition(".")[0])
    wanted = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {"user": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}", "resourceAttributes": wanted},
    }
    allowed: bool = cluster.api.create(review)["status"]["allowed"]
    return allowed


def test_kubectl_installs_the_same(by_kubectl: Release, team: str) -> None:
    cluster = by_kubectl.cluster
    apply = ["apply", "--server-side", "-f", str(MANIFESTS / "install.yaml")]
    cluster.kubectl(*apply)
    wait_until_served(cluster.api, OWN)
    assert "serverside-applied" in cluster.kubectl(*apply), "it may be applied again"
    overlay = cluster.kubectl("apply", "--server-side", "--dry-run=server", "-k", str(MANIFESTS))
    assert len(overlay.splitlines()) == len((MANIFESTS / "install.yaml").read_text().split("\nkind: ")) - 1
    operator = by_kubectl.operator("applied")
    operator.start_up()
    eventually(lambda: "leader" in operator.readiness(), 60, "the operator acts")
    begin(cluster, team)
    eventually(lambda: states(cluster.api, team).get("tune"), 30, "the workflow is seen")
    operator.stop()
