"""Volumes of a stage's Ray pods, each with the place where it is mounted."""

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import ANNOTATION_CONFIG
from llmworkflow.api.spec.common import Resources
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.render.quantity import half
from llmworkflow.render.settings import (
    CACHE_PATH,
    CODE_FOLDER,
    CONFIG_FILE,
    CONFIG_FOLDER,
    MODELS_PATH,
    STORAGE_PATH,
)

# The pod itself carries its configuration, so that neither is ever there without the other.
_CONFIG = {"path": CONFIG_FILE, "fieldRef": {"fieldPath": f"metadata.annotations['{ANNOTATION_CONFIG}']"}}

Mounted = tuple[JsonObject, JsonObject]
"""A volume and its mount."""


def volumes(workflow: LLMWorkflow, resources: Resources, code: str) -> list[Mounted]:
    """What the pods mount; `code` is the ConfigMap of the job code."""
    storage, cache = workflow.spec.storage, workflow.spec.model.cache
    scratch = {"sizeLimit": str(storage.cache_size)} if storage.cache_size is not None else {}
    found = [
        _shared_memory(resources),
        _read_only("job-code", CODE_FOLDER, {"configMap": {"name": code}}),
        _read_only("stage-config", CONFIG_FOLDER, {"downwardAPI": {"items": [_CONFIG]}}),
        _mounted("cache", CACHE_PATH, {"emptyDir": scratch}),
    ]
    if storage.volume:
        found.append(_claimed("storage", STORAGE_PATH, storage.volume.claim_name))
    if cache:
        found.append(_claimed("models", MODELS_PATH, cache.claim_name))
    return found


def _shared_memory(resources: Resources) -> Mounted:
    """Ray's object store and the exchange between processes; the 64 MiB of a container are too few for either."""
    size = resources.shared_memory
    if size is None and resources.memory is not None:
        size = half(resources.memory)
    limit = {"sizeLimit": str(size)} if size is not None else {}
    return _mounted("shared-memory", "/dev/shm", {"emptyDir": {"medium": "Memory", **limit}})  # noqa: S108


def _claimed(name: str, path: str, claim: str) -> Mounted:
    return _mounted(name, path, {"persistentVolumeClaim": {"claimName": claim}})


def _read_only(name: str, path: str, source: JsonObject) -> Mounted:
    volume, mount = _mounted(name, path, source)
    return volume, {**mount, "readOnly": True}


def _mounted(name: str, path: str, source: JsonObject) -> Mounted:
    return {"name": name, **source}, {"name": name, "mountPath": path}
