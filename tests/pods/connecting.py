"""Which ports of a workflow's Ray clusters take connections, and from whom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llmworkflow.api.names import LABEL_STAGE

from .cluster import Pods

CLIENTS, METRICS = 8000, 8080  # for everyone
RAY = {6379, 8265, 10001}  # GCS, dashboard and clients of Ray: whoever connects may run any code
PROXY = {8404, 9101}  # what HAProxy says of itself
_SCRIPT = """
import json, socket
def takes(port):
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True
print(json.dumps([port for port in ports if takes(port)]))
"""


def taken(pods: Pods, namespace: str, stage: str, *others: tuple[str, str]) -> list[set[int]]:
    """Ports of the head of a stage that take connections of its worker, and of other pods in their namespaces."""
    head, worker = (_pod(pods, namespace, stage, node) for node in ("head", "worker"))
    address = head["status"]["podIP"]
    sources = [(namespace, worker["metadata"]["name"]), *others]
    ports = sorted({CLIENTS, METRICS} | RAY | PROXY)
    return [set(pods.python_in(*source, _SCRIPT, address=address, ports=ports)) for source in sources]


@contextmanager
def opened(pods: Pods, namespace: str) -> Iterator[None]:
    """Beside what else there is, a policy lets everybody connect to all pods of a namespace."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "open", "namespace": namespace},
        "spec": {"podSelector": {}, "ingress": [{}]},
    }
    pods.api.create(policy)
    try:
        yield
    finally:
        pods.api.delete("NetworkPolicy", "open", namespace)


def _pod(pods: Pods, namespace: str, stage: str, node: str) -> dict[str, Any]:
    (found,) = pods.api.list("Pod", namespace, {LABEL_STAGE: stage, "ray.io/node-type": node})
    return found
