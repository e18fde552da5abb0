"""Applications of Ray Serve, in place of RayServices."""

import shutil
from pathlib import Path
from typing import Any

import httpx

from llmworkflow.core.observation import ChildPhase
from llmworkflow.local.machine import HOST
from llmworkflow.local.ray_process import RayAddress

TIMEOUT_SECONDS = 30

_PHASES = {
    "NOT_STARTED": ChildPhase.PENDING,
    "DEPLOYING": ChildPhase.RUNNING,
    "RUNNING": ChildPhase.READY,
    "UNHEALTHY": ChildPhase.UNHEALTHY,
    "DEPLOY_FAILED": ChildPhase.FAILED,
    "DELETING": ChildPhase.PENDING,
}


class Services:
    """The declarative API of Ray Serve: what is not in the list of applications is removed."""

    def __init__(self, address: RayAddress, port: int, logs: Path) -> None:
        self._client = httpx.Client(
            base_url=address.dashboard,
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=TIMEOUT_SECONDS,
        )
        self._address = address
        self._logs = logs
        self._applications: dict[str, list[dict[str, Any]]] = {}
        self._refused: dict[str, str] = {}
        self._ready_before: set[str] = set()
        self.url = f"http://{HOST}:{port}"
        self._http_options = {"host": HOST, "port": port}

    def apply(self, name: str, serve_config: dict[str, Any]) -> None:
        """Deploy a service's applications, or bring them to a new configuration."""
        self._applications[name] = serve_config["applications"]
        self._ready_before.discard(name)
        self._refused.pop(name, None)
        if refusal := self._deploy():
            self._refused[name] = refusal

    def remove(self, name: str) -> None:
        """Withdraw a service."""
        self._applications.pop(name)
        self._refused.pop(name, None)
        self._ready_before.discard(name)
        self._deploy()

    def seen(self) -> dict[str, tuple[ChildPhase, str]]:
        """Phase and message of every service, by name; READY once it was seen running twice."""
        if not self._applications:
            return {}
        answer = self._client.get("/api/serve/applications/")
        answer.raise_for_status()
        states = answer.json()["applications"]
        return {name: self._seen(name, states) for name in self._applications}

    def keep_logs(self, name: str) -> None:
        """Copy the output of a service's replicas out of Ray's folder, which goes when Ray goes."""
        kept = self._logs / f"{name}.log"
        if files := sorted((self._address.logs / "serve").glob("replica_*.log")):
            self._logs.mkdir(parents=True, exist_ok=True)
            with kept.open("wb") as output:
                for file in files:
                    with file.open("rb") as part:
                        shutil.copyfileobj(part, output)

    def _deploy(self) -> str:
        """Send the whole configuration; returns why Ray Serve refused it, empty when it did not."""
        applications = [application for parts in self._applications.values() for application in parts]
        answer = self._client.put(
            "/api/serve/applications/",
            json={
                "proxy_location": "HeadOnly",
                "http_options": self._http_options,
                "applications": applications,
            },
        )
        return f"Ray Serve refused the configuration: {answer.text[:800]}" if answer.is_error else ""

    def _seen(self, name: str, states: dict[str, Any]) -> tuple[ChildPhase, str]:
        if refusal := self._refused.get(name):
            return ChildPhase.FAILED, refusal
        parts = [states.get(part["name"], {}) for part in self._applications[name]]
        phases = [_PHASES[part.get("status", "NOT_STARTED")] for part in parts]
        message = " ".join(part.get("message", "") for part in parts).strip()
        worst = min(phases, key=_SEVERITY.index)
        if worst is not ChildPhase.READY:
            self._ready_before.discard(name)
        elif name not in self._ready_before:
            self._ready_before.add(name)
            return ChildPhase.RUNNING, message
        return worst, message


_SEVERITY = [
    ChildPhase.FAILED,
    ChildPhase.UNHEALTHY,
    ChildPhase.PENDING,
    ChildPhase.RUNNING,
    ChildPhase.READY,
]
