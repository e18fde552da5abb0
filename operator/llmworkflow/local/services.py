"""Applications of Ray Serve, in place of RayServices."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from llmworkflow.core.observation import ChildPhase
from llmworkflow.core.revision import digest
from llmworkflow.local.errors import LocalError, check_answer
from llmworkflow.local.jobs import TIMEOUT_SECONDS
from llmworkflow.local.logs import replica_logs
from llmworkflow.local.machine import HOST
from llmworkflow.local.port import Port
from llmworkflow.local.ray_process import RayAddress

Application = dict[str, Any]
"""An application as Ray Serve's configuration describes it."""

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

    def __init__(self, address: RayAddress, port: Port, logs: Path) -> None:
        self._client = httpx.Client(
            base_url=address.dashboard,
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=TIMEOUT_SECONDS,
        )
        self._address = address
        self._logs = logs
        self._applications: dict[str, list[Application]] = {}  # of each service, the endpoint first
        self._successors: dict[str, Application] = {}  # of endpoints, beside which they start
        self._retiring: dict[str, Application] = {}  # endpoints whose place was taken
        self._refused: dict[str, str] = {}
        self._unsent: str | None = None  # service whose change Ray Serve has not answered
        self._ready_before: set[str] = set()
        self._port = port
        self.url = f"http://{HOST}:{port.number}"

    def apply(self, name: str, serve_config: dict[str, Any], surge: bool) -> None:
        """Deploy a service's applications, or bring them to a new configuration.

        Where that takes other engines, Ray Serve would stop the old ones first. With `surge` a successor starts beside
        the endpoint instead, and takes its place once it was verified.
        """
        endpoint, *others = serve_config["applications"]
        self._forget(name)
        if current := self._applications.get(name):
            serving = current[0]
            if surge and _engines(endpoint) != _engines(serving):
                self._successors[name] = beside(endpoint)
                endpoint = serving
            else:
                endpoint = {**endpoint, "name": serving["name"]}
        self._applications[name] = [endpoint, *others]
        self._deploy(name)

    def remove(self, name: str) -> None:
        """Withdraw a service."""
        self._applications.pop(name)
        self._forget(name)
        self._deploy(name)

    def seen(self, verdicts: Mapping[str, bool | None]) -> dict[str, tuple[ChildPhase, str]]:
        """Phase and message of every service, by name; READY once it was seen running twice.

        `verdicts` say of each whether what it was brought to answers as it should, as far as that is known.
        """
        if self._unsent is not None:
            self._deploy(self._unsent)
        if not self._applications:
            return {}
        answer = self._client.get("/api/serve/applications/")
        check_answer(answer.status_code, answer.text)
        answer.raise_for_status()
        states = answer.json()["applications"]
        return {name: self._seen(name, states, verdicts.get(name)) for name in self._applications}

    def keep_logs(self, name: str) -> None:
        """Copy the output of a service's replicas out of Ray's folder, which goes when Ray goes."""
        kept = self._logs / f"{name}.log"
        if files := replica_logs(self._address.folder):
            self._logs.mkdir(parents=True, exist_ok=True)
            with kept.open("wb") as output:
                for file in files:
                    with file.open("rb") as part:
                        shutil.copyfileobj(part, output)

    def _forget(self, name: str) -> None:
        """Forget what was noted about an earlier configuration."""
        self._successors.pop(name, None)
        self._retiring.pop(name, None)
        self._refused.pop(name, None)
        self._ready_before.discard(name)

    def _deploy(self, name: str) -> None:
        """Send the whole configuration, of which one service changed; `seen` does it again where Ray did not answer."""
        self._unsent = name
        refusal = self._send()
        self._unsent = None
        if refusal:
            self._refused[name] = refusal

    def _send(self) -> str:
        """Why the whole configuration cannot be sent, or Ray Serve refused it; empty when it did not."""
        try:
            self._port.take()  # a new file may bring the first endpoint to a run that had none
        except LocalError as error:
            return str(error)
        applications = [application for parts in self._applications.values() for application in parts]
        answer = self._client.put(
            "/api/serve/applications/",
            json={
                "proxy_location": "HeadOnly",
                "http_options": {"host": HOST, "port": self._port.number},
                "applications": [*applications, *self._successors.values(), *self._retiring.values()],
            },
        )
        check_answer(answer.status_code, answer.text)
        return f"Ray Serve refused the configuration: {answer.text[:800]}" if answer.is_error else ""

    def _seen(self, name: str, states: dict[str, Any], verdict: bool | None) -> tuple[ChildPhase, str]:
        if refusal := self._refused.get(name):
            return ChildPhase.FAILED, refusal
        if self._retiring.pop(name, None):
            self._deploy(name)
        successor = self._successors.get(name)
        parts = [*self._applications[name], *([successor] if successor else [])]
        phase, message = _worst(parts, states)
        if phase is not ChildPhase.READY:
            self._ready_before.discard(name)
        elif successor and verdict is None:
            return ChildPhase.RUNNING, f"{successor['name']} is verified before it takes over"
        elif successor and verdict:
            self._take_over(name, successor)
            return ChildPhase.RUNNING, f"{successor['name']} takes over"
        elif name not in self._ready_before:
            self._ready_before.add(name)
            return ChildPhase.RUNNING, message
        return phase, message

    def _take_over(self, name: str, successor: Application) -> None:
        """Put a successor in the place of the endpoint, which answers what it has and goes at the next look."""
        endpoint, *others = self._applications[name]
        self._applications[name] = [{**successor, "route_prefix": endpoint["route_prefix"]}, *others]
        self._retiring[name] = {**endpoint, "route_prefix": f"/{endpoint['name']}"}
        del self._successors[name]
        self._deploy(name)


def beside(endpoint: Application) -> Application:
    """The endpoint as an application of its own name, out of the clients' way."""
    name = f"{endpoint['name']}-{digest(_engines(endpoint))}"
    return {**endpoint, "name": name, "route_prefix": f"/{name}"}


def _engines(endpoint: Application) -> list[Any]:
    """What Ray Serve starts an application's engines from; any change of it starts others."""
    return [endpoint["args"], endpoint.get("runtime_env")]


def _worst(parts: Sequence[Application], states: dict[str, Any]) -> tuple[ChildPhase, str]:
    """Phase of the application that is farthest from being ready, and what Ray Serve says of them all."""
    found = [states.get(part["name"], {}) for part in parts]
    phases = [_PHASES[state.get("status", "NOT_STARTED")] for state in found]
    return min(phases, key=_SEVERITY.index), " ".join(state.get("message", "") for state in found).strip()


_SEVERITY = [
    ChildPhase.FAILED,
    ChildPhase.UNHEALTHY,
    ChildPhase.PENDING,
    ChildPhase.RUNNING,
    ChildPhase.READY,
]
