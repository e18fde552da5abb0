"""A real Kubernetes API with the real KubeRay, and a kubelet and Ray dashboards that only pretend."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from .api import Api, condition, eventually, read_yaml
from .binaries import binary
from .control_plane import ADMIN, ControlPlane
from .fake_dashboard import FakeDashboard
from .fake_kubelet import FakeKubelet
from .fake_kubelet_server import FakeKubeletServer
from .kuberay import KubeRay, install_crds

OWN_CRD = Path(__file__).parents[2] / "manifests" / "crd.yaml"
OWN = "llmworkflows.llmworkflow.io"
KUBERAYS = ("rayjobs.ray.io", "rayservices.ray.io", "rayclusters.ray.io")


HERE = Path(__file__).parent
TEST_SECONDS = 180  # what hangs is ended then; most of it is for a machine that is busy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, so that they can be run, or left out, by that."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@dataclass(frozen=True)
class Cluster:
    """All that a test may look at, speak to or break."""

    control_plane: ControlPlane
    api: Api  # as someone who may do everything
    kubelet: FakeKubelet
    dashboard: FakeDashboard
    kuberay: KubeRay

    @contextmanager
    def as_user(self, name: str) -> Iterator[Api]:
        """The API as one of control_plane.PEOPLE sees it."""
        with self.control_plane.http(name) as client:
            yield Api(client)

    def make_namespace(self) -> str:
        """A namespace with a name of its own, in which pods may be created at once."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        eventually(
            lambda: self.api.get("ServiceAccount", "default", name), 90, f"{name} has its service account"
        )
        return name

    def kubectl(self, *arguments: str, user: str = ADMIN) -> str:
        """What kubectl prints."""
        command = [
            binary("kubernetes", "kubectl"),
            "--kubeconfig",
            self.control_plane.kubeconfig_of(user),
            *arguments,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests: they keep apart by their namespaces."""
    with started(tmp_path_factory.mktemp("cluster"), install) as running:
        yield running


@contextmanager
def started(folder: Path, install: Callable[[Api], None]) -> Iterator[Cluster]:
    """A cluster of its own, with what is installed before KubeRay starts."""
    with ExitStack() as running:

        def start(part: ControlPlane | FakeDashboard | FakeKubeletServer | FakeKubelet | KubeRay) -> None:
            running.callback(part.stop)
            part.start()

        control_plane = ControlPlane(folder)
        start(control_plane)
        api = Api(running.enter_context(control_plane.http()))
        install(api)
        control_plane.restart_controllers()
        dashboard = FakeDashboard(api)
        server = FakeKubeletServer(folder, dashboard.url, partial(_address_of, api))
        kubelet = FakeKubelet(api, dashboard.serves, dashboard.restarted, server.port)
        kuberay = KubeRay(folder, control_plane.kubeconfig, dashboard.url)
        for part in (dashboard, server, kubelet, kuberay):
            start(part)
        yield Cluster(control_plane, api, kubelet, dashboard, kuberay)


def install(api: Api) -> None:
    """Apply the definitions of the project's resource and of KubeRay's, and wait until the API serves them."""
    api.apply(read_yaml(OWN_CRD))
    install_kuberay(api)
    wait_until_served(api, OWN)


def install_kuberay(api: Api) -> None:
    """Apply KubeRay's definitions alone."""
    install_crds(api)
    for crd in KUBERAYS:
        wait_until_served(api, crd)


def wait_until_served(api: Api, crd: str) -> None:
    """Wait until the API serves what is defined."""
    eventually(partial(_established, api, crd), 90, f"{crd} is established")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for one test; what the test leaves in it goes with it, in its own time."""
    name = cluster.make_namespace()
    yield name
    cluster.api.delete("Namespace", name)


def _established(api: Api, crd: str) -> bool:
    found = api.get("CustomResourceDefinition", crd)
    return found is not None and condition(found, "Established").get("status") == "True"


def _address_of(api: Api, namespace: str, pod: str) -> str:
    return str((api.get("Pod", pod, namespace) or {})["status"]["podIP"])
