"""A list and then its changes, for one kind of child: what vanished while nobody watched is swept."""

import abc
import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable

import aiohttp

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import LABEL_MANAGED_BY, MANAGER
from llmworkflow.kube import metrics
from llmworkflow.kube.cache import Cache, Key
from llmworkflow.kube.children import ChildRecord, record_of
from llmworkflow.kube.client import Api
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import Resource

# The server sends these alone, so that the RayJobs of others cost nothing here.
SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER}"
PAGE = 100  # children of 20 KB each: more of them at a time is memory that never comes back
RETRY_SECONDS, ABSENT_SECONDS = 2.0, 10.0

logger = logging.getLogger(__name__)


class Watch(abc.ABC):
    """Follows what is ours of one kind, in one namespace or in all."""

    def __init__(self, api: Api, resource: Resource, namespace: str) -> None:
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self.synced = asyncio.Event()
        self.absent = False
        """Whether the API server has no such kind."""

    async def run(self) -> None:
        """List and watch, again and again, until cancelled."""
        while True:
            try:
                version = await self._list()
                self.absent = False
                self.synced.set()
                await self._follow(version)
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                await self._bear(error)

    async def _bear(self, error: Exception) -> None:
        """Wait before the next list; a kind that is not there is looked for again and again."""
        if isinstance(error, ApiError) and error.status == 404:
            if not self.absent:
                logger.warning(
                    "the API server has no %s of %s", self._resource.kind, self._resource.api_version
                )
            self.absent = True
            self.synced.set()
            await asyncio.sleep(ABSENT_SECONDS)
            return
        if not (isinstance(error, ApiError) and error.status == 410):
            logger.warning("watching %s: %s", self._resource.kind, error)
        metrics.WATCH_RESTARTS.labels(self._resource.kind).inc()
        await asyncio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))

    @abc.abstractmethod
    async def _list(self) -> str:
        """Take over what is there; returns its version."""

    @abc.abstractmethod
    def _changes(self, version: str) -> AsyncIterator[JsonObject]:
        """Changes since a version, until the server ends the watch."""

    @abc.abstractmethod
    def _take_over(self, kind: str, item: JsonObject) -> None:
        """Take over one change."""

    async def _follow(self, version: str) -> None:
        """Take over changes; when the server ends a watch in order, another goes on from where it ended."""
        while True:
            async for event in self._changes(version):
                kind, item = event["type"], event["object"]
                if kind == "ERROR":
                    raise ApiError(item.get("code", 0), item.get("reason", ""), item.get("message", ""))
                if kind != "BOOKMARK":
                    self._take_over(kind, item)
                version = str(item["metadata"]["resourceVersion"])


class ChildWatch(Watch):
    """Keeps the cache right for one kind."""

    def __init__(
        self, api: Api, cache: Cache, resource: Resource, namespace: str, changed: Callable[[Key], None]
    ) -> None:
        super().__init__(api, resource, namespace)
        self._cache = cache
        self._changed = changed

    async def _list(self) -> str:
        """Take over a complete list, page by page; returns its version."""
        seen: set[str] = set()
        version = ""
        async for page in self._api.pages(self._resource, self._namespace, PAGE, labelSelector=SELECTOR):
            version = str(page["metadata"]["resourceVersion"])
            for child in page["items"]:
                seen.add(child["metadata"]["uid"])
                self._put(child)
        for gone in self._cache.sweep(self._resource.kind, self._namespace, seen):
            self._changed(gone.key)
        return version

    def _changes(self, version: str) -> AsyncIterator[JsonObject]:
        return self._api.watch(self._resource, self._namespace, version, SELECTOR)

    def _take_over(self, kind: str, item: JsonObject) -> None:
        if kind != "DELETED":
            self._put(item)
            return
        if (record := self._read(item)) and self._cache.remove(record):
            self._changed(record.key)

    def _put(self, child: JsonObject) -> None:
        if (record := self._read(child)) and self._cache.put(record, time.monotonic()):
            self._changed(record.key)

    def _read(self, child: JsonObject) -> ChildRecord | None:
        """The record of a child; one that makes no sense does not keep the others from being seen."""
        try:
            # Items of a list do not say what they are.
            return record_of(child | {"kind": self._resource.kind})
        except (AttributeError, LookupError, TypeError, ValueError):
            metadata = child["metadata"]
            where = f"{self._resource.kind} {metadata['namespace']}/{metadata['name']}"
            logger.exception("%s is passed over, as it cannot be read", where)
            return None
