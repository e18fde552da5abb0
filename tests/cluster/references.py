"""What a pod refers to: a kubelet does not start it before that is there, and says what is missing."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Pod = dict[str, Any]
Find = Callable[[str, str], dict[str, Any] | None]  # kind and name to the object


@dataclass(frozen=True)
class Missing:
    """Something that is not there, as the kubelet says it."""

    reason: str  # of the container that waits
    event: str
    message: str


def missing(pod: Pod, find: Find) -> Missing | None:
    """The first thing that is missing: volumes come before containers."""
    for volume, kind, name in _volumes(pod):
        if find(kind, name) is None:
            text = f'MountVolume.SetUp failed for volume "{volume}" : {kind.lower()} "{name}" not found'
            return Missing("ContainerCreating", "FailedMount", text)
    for kind, name, key in _environment(pod):
        found = find(kind, name)
        if found is None:
            return Missing(
                "CreateContainerConfigError", "Failed", f'Error: {kind.lower()} "{name}" not found'
            )
        if key and key not in (found.get("data") or {}):
            text = f"Error: couldn't find key {key} in {kind} {pod['metadata']['namespace']}/{name}"
            return Missing("CreateContainerConfigError", "Failed", text)
    return None


def mounted_file(pod: Pod, path: str, find: Find) -> bytes | None:
    """A file that the pod has from a ConfigMap or from its own annotations; None where there is no such file."""
    folder, _, file = path.rpartition("/")
    for container in pod["spec"]["containers"]:
        for mount in container.get("volumeMounts", []):
            if folder == mount["mountPath"].rstrip("/"):
                volume = next(item for item in pod["spec"]["volumes"] if item["name"] == mount["name"])
                return _file_of(pod, volume, file, find)
    return None


def _file_of(pod: Pod, volume: dict[str, Any], file: str, find: Find) -> bytes | None:
    if "configMap" in volume:
        content = find("ConfigMap", volume["configMap"]["name"]) or {}
        if file in content.get("binaryData", {}):
            return base64.b64decode(content["binaryData"][file])
        text = content.get("data", {}).get(file)
    else:
        items = {item["path"]: item["fieldRef"]["fieldPath"] for item in volume["downwardAPI"]["items"]}
        annotations = pod["metadata"].get("annotations", {})
        text = annotations.get(items[file].removeprefix("metadata.annotations['").removesuffix("']"))
    return None if text is None else text.encode()


def _volumes(pod: Pod) -> Iterator[tuple[str, str, str]]:
    """Volume, kind and name."""
    for volume in pod["spec"].get("volumes", []):
        for field, kind, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            source = volume.get(field)
            if source and not source.get("optional"):
                yield volume["name"], kind, source[key]


def _environment(pod: Pod) -> Iterator[tuple[str, str, str]]:
    """Kind, name and key, which is empty where all keys are taken."""
    for container in pod["spec"]["containers"]:
        for entry in container.get("env", []):
            source = entry.get("valueFrom", {})
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in source and not source[field].get("optional"):
                    yield kind, source[field]["name"], source[field]["key"]
        for entry in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in entry and not entry[field].get("optional"):
                    yield kind, entry[field]["name"], ""
