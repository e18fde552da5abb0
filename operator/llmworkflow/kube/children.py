"""Children as the cache keeps them: a few words of each instead of the whole object."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from llmworkflow.api import names
from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import KIND
from llmworkflow.core.observation import ChildKind, ChildSeen
from llmworkflow.kube import rayjob, rayservice
from llmworkflow.kube.look import Look

# Programs with which people edit. Who else writes to a spec is a controller that does so for a reason: KubeRay
# fills in defaults, Kueue suspends.
_BY_HAND = ("kubectl", "k9s", "lens", "headlamp")

# As the vendors' device plugins call accelerators.
_ACCELERATOR = re.compile(r"gpu$|/mig-|/tpu$|/gaudi$|/neuron|^gpu\.")


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """What counts of a RayJob or a RayService."""

    kind: ChildKind
    namespace: str
    name: str
    uid: str
    version: str
    generation: int
    workflow: str  # of its label, empty where it has none
    owner_uid: str
    owner_name: str
    stage: str
    revision: str
    attempt: int | None
    settings: str
    spec_hash: str
    edited: bool
    terminating: bool
    look: Look
    url: str | None
    gpus: int
    mounts: tuple[str, ...]  # ConfigMaps

    @property
    def key(self) -> tuple[str, str]:
        """The workflow that it is to be looked at with."""
        return self.namespace, self.workflow

    def seen(self) -> ChildSeen:
        """The child as the planner takes it."""
        return ChildSeen(
            kind=self.kind,
            name=self.name,
            uid=self.uid,
            owner_uid=self.owner_uid,
            owner_name=self.owner_name,
            phase=self.look.phase,
            stage=self.stage,
            revision=self.revision,
            attempt=self.attempt,
            settings=self.settings,
            spec_hash=self.spec_hash,
            edited=self.edited,
            terminating=self.terminating,
            reason=self.look.reason,
            message=self.look.message,
            permanent=self.look.permanent,
            url=self.url,
        )


def record_of(child: JsonObject) -> ChildRecord:
    """The record of a RayJob or a RayService."""
    metadata = child["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    owner: JsonObject = next(
        (item for item in metadata.get("ownerReferences") or [] if item["kind"] == KIND), {}
    )
    is_service = child["kind"] == "RayService"
    attempt = labels.get(names.LABEL_ATTEMPT, "")
    return ChildRecord(
        kind=cast(ChildKind, child["kind"]),
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata.get("resourceVersion", ""),
        generation=metadata.get("generation", 0),
        workflow=labels.get(names.LABEL_WORKFLOW, ""),
        owner_uid=owner.get("uid", ""),
        owner_name=owner.get("name", ""),
        stage=labels.get(names.LABEL_STAGE, ""),
        revision=labels.get(names.LABEL_REVISION, ""),
        attempt=int(attempt) if attempt.isdecimal() else None,
        settings=annotations.get(names.ANNOTATION_SETTINGS, ""),
        spec_hash=annotations.get(names.ANNOTATION_SPEC_HASH, ""),
        edited=edited_by_hand(metadata),
        terminating="deletionTimestamp" in metadata,
        look=rayservice.look_at(child) if is_service else rayjob.look_at(child),
        url=rayservice.address(child) if is_service else None,
        gpus=sum(_gpus(child)),
        mounts=tuple(sorted({*_mounts(child)})),
    )


def edited_by_hand(metadata: JsonObject) -> bool:
    """Whether a person wrote to the spec, as the API server's own record of fields and their writers has it.

    A comparison with what was rendered would not do: KubeRay writes the spec anew with defaults and other spellings.
    """
    return any(
        "f:spec" in entry.get("fieldsV1", {}) and entry.get("manager", "").lower().startswith(_BY_HAND)
        for entry in metadata.get("managedFields") or []
        if not entry.get("subresource")
    )


def _cluster(child: JsonObject) -> JsonObject:
    return child["spec"].get("rayClusterSpec") or child["spec"].get("rayClusterConfig") or {}


def _mounts(child: JsonObject) -> Iterator[str]:
    """ConfigMaps that the pods mount."""
    cluster = _cluster(child)
    for group in (cluster.get("headGroupSpec") or {}, *(cluster.get("workerGroupSpecs") or [])):
        for volume in group.get("template", {}).get("spec", {}).get("volumes") or []:
            if config_map := volume.get("configMap"):
                yield sys.intern(config_map["name"])


def _gpus(child: JsonObject) -> Iterator[int]:
    """Accelerators that the child asks for, by group."""
    for group in _cluster(child).get("workerGroupSpecs") or []:
        containers = group.get("template", {}).get("spec", {}).get("containers") or [{}]
        limits = containers[0].get("resources", {}).get("limits") or {}
        for resource, amount in limits.items():
            if _ACCELERATOR.search(resource) and str(amount).isdecimal():
                yield int(amount) * int(group.get("replicas") or 0)
