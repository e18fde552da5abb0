"""What people have in a namespace before they apply a workflow."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from .api import Api


def claim(api: Api, namespace: str, name: str, mode: str = "ReadWriteMany") -> None:
    """A volume that many pods may write to, bound to a claim. Nothing is ever written: pods only pretend."""
    volume = f"{namespace}-{name}"
    shared: dict[str, Any] = {"accessModes": [mode], "storageClassName": ""}
    size = {"storage": "1Ti"}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                **shared,
                "capacity": size,
                "hostPath": {"path": "/nonexistent"},
                "claimRef": {"namespace": namespace, "name": name},
            },
        }
    )
    api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**shared, "resources": {"requests": size}, "volumeName": volume},
        }
    )


def secret(api: Api, namespace: str, name: str, **values: str) -> None:
    """A Secret with values by their keys."""
    data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
    api.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "data": data,
        }
    )


def for_samples(api: Api, namespace: str) -> None:
    """The claims and the Secrets that samples name."""
    for name in ("llm-artifacts", "models"):
        claim(api, namespace, name)
    secret(api, namespace, "s3", AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x")
    secret(api, namespace, "chat-keys", keys="x")
    secret(api, namespace, "openai", key="x")
    secret(api, namespace, "hf-token", token="x")


def priority_class(api: Api, name: str) -> None:
    """A class of the whole cluster."""
    api.apply(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": 1000,
        }
    )
