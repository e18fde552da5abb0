"""What people do who have no operator: a script that creates one child after the other, and waits for each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .cluster import Pods

JOB_SECONDS = 600
PREFIX = "by-hand"


def create_one_after_the_other(pods: Pods, namespace: str, children: Iterable[dict[str, Any]]) -> None:
    """The same children again under other names, in their order: each once the job before it is complete."""
    for child in map(_copy, children):
        pods.kubectl("create", "-n", namespace, "-f", "-", given=json.dumps(child).encode())
        name = f"{child['kind'].lower()}/{child['metadata']['name']}"
        if child["kind"] == "RayJob":
            complete = "jsonpath={.status.jobDeploymentStatus}=Complete"
            limit = f"--timeout={JOB_SECONDS}s"
            pods.kubectl("wait", "-n", namespace, f"--for={complete}", limit, name, seconds=JOB_SECONDS + 5)


def delete(pods: Pods, namespace: str, children: Iterable[dict[str, Any]]) -> None:
    """Delete what the script made, with its pods."""
    for child in map(_copy, children):
        named = child["kind"].lower(), child["metadata"]["name"]
        pods.kubectl("delete", "-n", namespace, "--ignore-not-found", "--cascade=foreground", *named)


def _copy(child: dict[str, Any]) -> dict[str, Any]:
    """A child that no operator knows."""
    name = f"{PREFIX}-{child['metadata']['labels']['llmworkflow.io/stage']}"
    return {part: child[part] for part in ("apiVersion", "kind", "spec")} | {"metadata": {"name": name}}
