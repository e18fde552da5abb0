"""The cluster of the benchmark: a real control plane that records what the operator writes, and the operator."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.cluster.api import Api as People
from tests.cluster.conftest import install as install_crds
from tests.cluster.control_plane import ControlPlane
from tests.cluster.operator_process import ACCOUNT, install
from tests.cluster.operator_process import NAMESPACE as OPERATOR_NAMESPACE
from tests.cluster.programs import Program

from llmworkflow.kube.client import Api, connect
from llmworkflow.local.machine import HOST, free_port

from .blueprint import NAMESPACE

FOREIGN = "foreign"  # namespace of RayJobs that are nobody's business here
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{ACCOUNT}"
START_SECONDS = 60
_TICKS = os.sysconf("SC_CLK_TCK")

_AUDIT: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "users": [OPERATOR_USER],
            "verbs": ["create", "update", "patch", "delete"],
        },
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Scene:
    """What is measured against."""

    control_plane: ControlPlane
    people: People
    folder: Path

    def writes(self, since: int = 0) -> Counter[str]:
        """What the API server recorded of the operator's writes that succeeded, by what was done to what."""
        found: Counter[str] = Counter()
        for line in self._audit_log[since:]:
            entry = json.loads(line)
            if entry["responseStatus"]["code"] < 300:
                target = entry["objectRef"]
                part = f"/{target['subresource']}" if "subresource" in target else ""
                found[f"{entry['verb']} {target['resource']}{part}"] += 1
        return found

    @property
    def mark(self) -> int:
        """Where the record of writes is now; for `writes`."""
        return len(self._audit_log)

    @property
    def _audit_log(self) -> list[str]:
        path = self.folder / "audit.log"
        return path.read_text().splitlines() if path.exists() else []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Api]:
        """The API for what plays the part of KubeRay, of people and of jobs."""
        connection = await connect(str(self.control_plane.kubeconfig))
        try:
            yield Api(connection)
        finally:
            await connection.close()


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """A control plane with all definitions, and the operator's account with the rights that it ships with."""
    policy = folder / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(_AUDIT))
    flags = {"audit-policy-file": policy, "audit-log-path": folder / "audit.log"}
    control_plane = ControlPlane(folder, flags)
    try:
        control_plane.start()
        with control_plane.http() as client:
            people = People(client)
            install_crds(people)
            install(people)
            for name in (NAMESPACE, FOREIGN):
                people.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            yield Scene(control_plane, people, folder)
    finally:
        control_plane.stop()


def cpu_of(program: Program) -> float:
    """Seconds of CPU that a program took so far."""
    fields = Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Operator(Program):
    """The operator as a process of its own, and what the kernel says of it."""

    def __init__(self, scene: Scene) -> None:
        token = scene.people.token_of(ACCOUNT, OPERATOR_NAMESPACE)
        kubeconfig = scene.control_plane.kubeconfig_of("operator", token)
        self.url = f"http://{HOST}:{free_port()}"
        settings = scene.folder / "settings.yaml"
        settings.write_text(yaml.safe_dump({"host": HOST, "port": httpx.URL(self.url).port}))
        command = [sys.executable, "-m", "llmworkflow.kube"]
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": OPERATOR_NAMESPACE,
            "POD_NAME": "bench",
        }
        super().__init__("operator", [*command, "--settings", settings], scene.folder, environment)

    @property
    def megabytes(self) -> float:
        """Memory that it holds: private pages and its share of files."""
        return self._memory("VmRSS")

    @property
    def peak_megabytes(self) -> float:
        """The most memory that it held so far."""
        return self._memory("VmHWM")

    def metrics(self) -> dict[str, float]:
        """What it tells Prometheus, by name with labels; empty while it does not answer."""
        try:
            text = httpx.get(f"{self.url}/metrics", trust_env=False, timeout=30).text
        except httpx.TransportError:
            return {}
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def looked_at(self) -> int:
        """How often it looked at a workflow."""
        results = (value for name, value in self.metrics().items() if name.startswith(_LOOKS))
        return int(sum(results))

    def requests(self) -> Counter[str]:
        """How often it asked the API server for something, by verb."""
        found: Counter[str] = Counter()
        for name, value in self.metrics().items():
            if name.startswith(_REQUESTS):
                found[name.partition('verb="')[2].partition('"')[0]] += int(value)
        return found

    def ready(self) -> bool:
        """Whether it leads and has seen all children."""
        try:
            answer = httpx.get(f"{self.url}/readyz", trust_env=False, timeout=30)
        except httpx.TransportError:
            return False
        return answer.is_success and "leader" in answer.text

    def _memory(self, name: str) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        line = next(line for line in lines if line.startswith(f"{name}:"))
        return int(line.split()[1]) / 1024


_LOOKS = "llmworkflow_reconciles_total"
_REQUESTS = "llmworkflow_api_requests_total"


@contextmanager
def operating(scene: Scene) -> Iterator[Operator]:
    """The operator, started and leading."""
    operator = Operator(scene)
    operator.start()
    try:
        operator.wait_until(operator.ready, START_SECONDS, "the operator leads")
        yield operator
    finally:
        operator.stop()


def patience(seconds: float) -> Iterator[None]:
    """Turns of waiting, until the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.2)
    raise TimeoutError(f"not within {seconds} s")
