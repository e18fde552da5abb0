"""KubeRay's operator, outside the cluster that it looks after: its Ray clusters are what the fake dashboard says."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx

from llmworkflow.local.machine import HOST, free_port

from .api import Api, ApiError, Object, eventually, read_yaml
from .binaries import binary, built
from .programs import Program

START_SECONDS = 60
INSTALL_SECONDS = 180


class KubeRay(Program):
    """The program; it reaches the API as the user of the kubeconfig, and dashboards through the proxy."""

    def __init__(self, folder: Path, kubeconfig: Path, dashboard: str) -> None:
        self._health = f"http://{HOST}:{free_port()}/healthz"
        flags = {
            "kubeconfig": kubeconfig,
            "enable-leader-election": "false",
            "metrics-addr": "0",
            "health-probe-bind-address": httpx.URL(self._health).netloc.decode(),
            "reconcile-concurrency": "4",
        }
        command = [binary("kuberay", "ray-operator"), *(f"-{flag}={value}" for flag, value in flags.items())]
        super().__init__(
            "kuberay", command, folder, {"HTTP_PROXY": dashboard, "NO_PROXY": "", "no_proxy": ""}
        )

    def start(self) -> None:
        """Start it, and wait until it is up."""
        super().start()
        self.wait_until(self._healthy, START_SECONDS, "KubeRay's operator is healthy")

    def _healthy(self) -> bool:
        try:
            return httpx.get(self._health, trust_env=False).is_success
        except httpx.TransportError:
            return False


def install_crds(api: Api) -> None:
    """Apply the definitions of KubeRay's module, server-side: they are too large for kubectl's own way."""
    for path in sorted((built("kuberay") / "crds").glob("*.yaml")):
        eventually(partial(_applied, api, read_yaml(path)), INSTALL_SECONDS, f"{path.name} is applied")


def _applied(api: Api, definition: Object) -> bool:
    """Whether it went through: on a busy machine the API server itself may run out of time over its size."""
    try:
        api.apply(definition)
    except ApiError as error:
        if error.status != 504:
            raise
        return False
    return True
