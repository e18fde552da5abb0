"""A cluster with real pods, as tests use it."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.cluster.api import Api, condition, eventually
from tests.cluster.binaries import binary
from tests.cluster.images import reference
from tests.cluster.workflows import told

from .client import client_of

COMMAND_SECONDS = 120
POD_SECONDS = 60
VOLUME = "/volume"


@dataclass(frozen=True)
class Pods:
    """The API, kubectl, and what goes on inside of pods."""

    api: Api
    kubeconfig: Path
    values: dict[str, Any]
    namespaces: list[str] = field(default_factory=list)

    @property
    def user(self) -> str:
        """Who the API says that we are."""
        found = json.loads(self.kubectl("auth", "whoami", "-o", "json"))
        return str(found["status"]["userInfo"]["username"])

    def client(self) -> httpx.Client:
        """Another connection to the API."""
        return client_of(self.kubeconfig)

    def kubectl(self, *arguments: str, given: bytes = b"", seconds: float = COMMAND_SECONDS) -> str:
        """What kubectl prints."""
        command: list[str | Path] = [
            binary("kubernetes", "kubectl"),
            "--kubeconfig",
            self.kubeconfig,
            *arguments,
        ]
        done = subprocess.run(command, check=False, capture_output=True, input=given, timeout=seconds)
        assert done.returncode == 0, (
            f"kubectl {' '.join(arguments)}: {done.stderr.decode()}{done.stdout.decode()}"
        )
        return done.stdout.decode()

    def make_namespace(self) -> str:
        """A namespace with a name of its own."""
        name = f"test-{uuid.uuid4().hex[:6]}"
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.namespaces.append(name)
        eventually(lambda: self.api.get("ServiceAccount", "default", name), 30, f"{name} has its account")
        return name

    def clean(self) -> None:
        """Delete the namespaces that were made, with their volumes: the node is small, and may be somebody's."""
        for volume in self.api.list("PersistentVolume"):
            if volume["spec"].get("claimRef", {}).get("namespace") in self.namespaces:
                self.api.delete("PersistentVolume", volume["metadata"]["name"])
        for namespace in self.namespaces:
            self.api.delete("Namespace", namespace)
        self.namespaces.clear()

    def make_volume(self, namespace: str, claim: str, files: Path) -> None:
        """A claim whose volume, a folder of the node, holds these files; jobs may write to it."""
        size, modes = {"storage": "10Gi"}, ["ReadWriteMany"]
        volume = f"{namespace}-{claim}"
        common = {"accessModes": modes, "storageClassName": ""}
        folder = {"path": f"/var/tmp/llmworkflow/{volume}", "type": "DirectoryOrCreate"}
        reserved = {"namespace": namespace, "name": claim}
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": volume},
                "spec": {**common, "capacity": size, "hostPath": folder, "claimRef": reserved},
            }
        )
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": claim, "namespace": namespace},
                "spec": {**common, "resources": {"requests": size}, "volumeName": volume},
            }
        )
        self.start_pod(namespace, f"keeper-{claim}", claim=claim, user=0)
        self.run_in(namespace, f"keeper-{claim}", "tar", "-xf", "-", "-C", VOLUME, given=_packed(files))
        self.run_in(namespace, f"keeper-{claim}", "chmod", "-R", "a+rwX", VOLUME)

    def start_pod(self, namespace: str, name: str, claim: str = "", user: int = 1000, **labels: str) -> None:
        """A pod of the jobs' image that waits to be given commands."""
        container: dict[str, Any] = {
            "name": "shell",
            "image": reference("jobs"),
            "command": ["sleep", "infinity"],
            "securityContext": {"runAsUser": user},
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        }
        spec: dict[str, Any] = {"terminationGracePeriodSeconds": 0, "containers": [container]}
        if claim:
            spec["volumes"] = [{"name": "volume", "persistentVolumeClaim": {"claimName": claim}}]
            container["volumeMounts"] = [{"name": "volume", "mountPath": VOLUME}]
        metadata = {"name": name, "namespace": namespace, "labels": {"app": name, **labels}}
        self.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        eventually(lambda: self.is_ready(namespace, name), POD_SECONDS, f"pod {name} is ready")

    def is_ready(self, namespace: str, name: str) -> bool:
        return condition(self.api.get("Pod", name, namespace) or {}, "Ready").get("status") == "True"

    def run_in(
        self, namespace: str, pod: str, *command: str, given: bytes = b"", seconds: float = COMMAND_SECONDS
    ) -> str:
        """What a command in a pod prints."""
        stdin = ["-i"] if given else []
        return self.kubectl(
            "exec", *stdin, "-n", namespace, pod, "--", *command, given=given, seconds=seconds
        )

    def python_in(
        self, namespace: str, pod: str, script: str, seconds: float = COMMAND_SECONDS, **values: Any
    ) -> Any:
        """What a script prints as JSON on its last line; `values` are names that it knows."""
        known = "".join(f"{name} = {value!r}\n" for name, value in values.items())
        printed = self.run_in(namespace, pod, "python", "-", given=(known + script).encode(), seconds=seconds)
        return json.loads(printed.strip().splitlines()[-1])

    def diagnosis(self, namespace: str, workflow: str) -> str:
        """What a person would look at first."""
        pods = self.kubectl("get", "pods,rayjobs,rayclusters,rayservices", "-n", namespace, "-o", "wide")
        events = self.kubectl("get", "events", "-n", namespace, "--sort-by=.lastTimestamp")
        return "\n".join([*told(self.api, namespace, workflow), pods, *events.splitlines()[-25:]])


def _packed(folder: Path) -> bytes:
    """The files of a folder as a tar archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, arcname=".")
    return packed.getvalue()
