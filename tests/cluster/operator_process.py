"""The operator under test: a process with exactly the rights that it ships with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from llmworkflow.local.machine import HOST, free_port

from .api import Api
from .conftest import Cluster
from .programs import Program

MANIFESTS = Path(__file__).parents[2] / "manifests"
ACCOUNT, NAMESPACE = "llmworkflow-operator", "llmworkflow"
RIGHTS = ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
START_SECONDS = 180  # most of it is for a machine that is busy


def install(api: Api) -> None:
    """Of what a person applies, the operator's account and its rights."""
    for manifest in yaml.safe_load_all((MANIFESTS / "operator.yaml").read_text()):
        if manifest["kind"] in RIGHTS:
            api.apply(manifest)


class OperatorProcess(Program):
    """`python -m llmworkflow.kube`, as the service account that it ships with."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        name: str = "operator",
        server: str = "",
        code: Path | None = None,
        **settings: Any,
    ) -> None:
        """`server`: in place of the cluster's own; `code`: a folder with other packages than the installed ones."""
        token = cluster.api.token_of(ACCOUNT, NAMESPACE)
        kubeconfig = _kubeconfig(cluster, folder / f"{name}.kubeconfig", token, server)
        self.url = f"http://{HOST}:{free_port()}"
        chosen = {"host": HOST, "port": httpx.URL(self.url).port, "logFormat": "text", **settings}
        path = folder / f"{name}-settings.yaml"
        path.write_text(yaml.safe_dump(chosen))
        super().__init__(
            name,
            [sys.executable, "-m", "llmworkflow.kube", "--settings", path],
            folder,
            {
                "KUBECONFIG": str(kubeconfig),
                "POD_NAME": name,
                "POD_NAMESPACE": NAMESPACE,
                "HTTP_PROXY": cluster.dashboard.url,  # whose hosts are the endpoints
                "NO_PROXY": HOST,
                "no_proxy": HOST,
                **({"PYTHONPATH": str(code)} if code else {}),
            },
        )

    def start_up(self) -> None:
        """Start it, and wait until it is ready to act, or to take over."""
        self.start()
        self.wait_until(lambda: "role" in self.readiness(), START_SECONDS, "the operator answers")

    def readiness(self) -> str:
        """What it says of itself; empty while it does not answer."""
        return self.get("/readyz").text

    def get(self, path: str) -> httpx.Response:
        """What it answers over HTTP; 502 where it does not."""
        try:
            return httpx.get(f"{self.url}{path}", trust_env=False, timeout=10)
        except httpx.TransportError:
            return httpx.Response(502)

    def metric(self, line: str) -> float:
        """A value that it tells Prometheus; 0 where it tells none."""
        for found in self.get("/metrics").text.splitlines():
            if found.startswith(f"{line} "):
                return float(found.rpartition(" ")[2])
        return 0.0


@contextmanager
def at_work(cluster: Cluster, folder: Path, **options: Any) -> Iterator[OperatorProcess]:
    """The operator, installed and started, until the block ends; `options` are those of OperatorProcess."""
    install(cluster.api)
    operator = OperatorProcess(cluster, folder, **options)
    try:
        operator.start_up()
        yield operator
    finally:
        operator.stop()


def _kubeconfig(cluster: Cluster, path: Path, token: str, server: str) -> Path:
    original = cluster.control_plane.kubeconfig_of(f"operator-{path.stem}", token)
    content = yaml.safe_load(original.read_text())
    if server:
        content["clusters"][0]["cluster"] = {"server": server}
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path
