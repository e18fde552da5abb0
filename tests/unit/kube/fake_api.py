"""An API server in a dictionary, for what is too small for a real one."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import Resource

Object = dict[str, Any]


class FakeApi:
    """Keeps objects by kind and name, counts versions, and remembers what was asked for and written."""

    def __init__(self, *objects: Object) -> None:
        self._versions = itertools.count(1)
        self.objects: dict[tuple[str, str], Object] = {}
        self.writes: list[str] = []
        self.reads: list[str] = []
        self.policies: list[str] = []  # of deletions
        self.away = False
        self.unknown: set[str] = set()  # what refers to something that is not known yet, by name
        self.refusal: ApiError | None = None  # of whatever is to be created
        for item in objects:
            self._keep(item)

    async def get(self, resource: Resource, namespace: str, name: str, accept: str = "") -> Object | None:
        if self.away:
            raise ApiError(0, "Unreachable", "away")
        self.reads.append(f"{resource.kind} {name}")
        return self.objects.get((resource.kind, name))

    async def list(self, resource: Resource, namespace: str, **options: str) -> Object:
        """All of a kind, whatever is selected; of metadata alone null where there is none, as it really is."""
        found = [item for (kind, _), item in self.objects.items() if kind == resource.kind]
        metadata = {"resourceVersion": "99"}
        return {"metadata": metadata, "items": found or None if "accept" in options else found}

    async def pages(
        self, resource: Resource, namespace: str, size: int, accept: str = "", **query: str
    ) -> AsyncIterator[Object]:
        options = {"accept": accept} if accept else {}
        found = await self.list(resource, namespace, **options)
        items = found["items"] or []
        for first in range(0, len(items), size):
            yield found | {"items": items[first : first + size]}
        if not items:
            yield found

    async def create(self, manifest: Object) -> Object:
        if self.refusal:
            raise self.refusal
        if manifest["metadata"]["name"] in self.unknown:
            raise ApiError(404, "NotFound", "not found")
        if (manifest["kind"], manifest["metadata"]["name"]) in self.objects:
            raise ApiError(409, "AlreadyExists", "there is one already")
        return self._write("create", manifest)

    async def apply(self, manifest: Object) -> Object:
        return self._write("apply", manifest)

    async def replace(self, manifest: Object) -> Object:
        known = self.objects[manifest["kind"], manifest["metadata"]["name"]]
        if known["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it was changed")
        return self._write("replace", manifest)

    async def merge(self, resource: Resource, namespace: str, name: str, change: Object) -> Object:
        known = self.objects[resource.kind, name]
        kept = {key: value for key, value in (known | change).items() if value is not None}
        return self._write("merge", kept)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, policy: str = "Foreground"
    ) -> bool:
        known = self.objects.get((resource.kind, name))
        if known is None or known["metadata"]["uid"] != uid:
            return False
        del self.objects[resource.kind, name]
        self.writes.append(f"delete {resource.kind} {name}")
        self.policies.append(policy)
        return True

    def _write(self, verb: str, manifest: Object) -> Object:
        self.writes.append(f"{verb} {manifest['kind']} {manifest['metadata']['name']}")
        return self._keep(manifest)

    def _keep(self, manifest: Object) -> Object:
        version = next(self._versions)
        metadata = {"uid": f"uid-{version}", **manifest["metadata"], "resourceVersion": str(version)}
        kept = {**manifest, "metadata": metadata}
        self.objects[manifest["kind"], metadata["name"]] = kept
        return kept
