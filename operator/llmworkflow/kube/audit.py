"""What is there beside children, and what was deleted while nobody watched: by name, without its content."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube.applied import Applied
from llmworkflow.kube.cache import Cache, Key
from llmworkflow.kube.children import ChildRecord
from llmworkflow.kube.client import METADATA, Api
from llmworkflow.kube.companions import COMPANIONS, Place
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import CONFIG_MAP, NETWORK_POLICY, ROLE, ROLE_BINDING, Resource
from llmworkflow.kube.watch import SELECTOR
from llmworkflow.render.stage_context import ACCOUNT, CLOSED, endpoint_purpose, name_beside, report_purpose

PAGE = 500
SETTLE_SECONDS = 5.0  # after which other watches that were lost are back, too
_ENDED = (ChildPhase.SUCCEEDED, ChildPhase.FAILED)

logger = logging.getLogger(__name__)


class Audit:
    """Compares what children need with what there is, each time that deletions may have been missed."""

    def __init__(
        self,
        api: Api,
        cache: Cache,
        applied: Applied,
        namespaces: Sequence[str],
        gone: Callable[[Place, Key], None],
        closed: bool,
    ) -> None:
        """`closed`: whether each workflow has a NetworkPolicy."""
        self._api = api
        self._cache = cache
        self._applied = applied
        self._namespaces = namespaces
        self._gone = gone
        self._closed = closed
        self._due = asyncio.Event()

    def due(self) -> None:
        """Have it done soon."""
        self._due.set()

    async def run(self) -> None:
        """Do it whenever it is due, until cancelled."""
        while True:
            await self._due.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._due.clear()
            try:
                await self.look()
            except ApiError as error:
                logger.warning("what stands beside children is looked for again: %s", error)
                self._due.set()

    async def look(self) -> None:
        """Do it now."""
        for namespace in self._namespaces:
            for resource in COMPANIONS:
                await self._compare(resource, namespace)

    async def _compare(self, resource: Resource, namespace: str) -> None:
        there = await self._there(resource, namespace)
        for child in list(self._cache.all()):
            if namespace in ("", child.namespace):
                for kind, name in self._beside(child):
                    if kind == resource.kind and (child.namespace, name) not in there:
                        self._gone((kind, child.namespace, name), child.key)

    async def _there(self, resource: Resource, namespace: str) -> set[tuple[str, str]]:
        """Namespaces and names of what is ours; what it was rendered to is known from then on."""
        found: set[tuple[str, str]] = set()
        accept = METADATA.format("List")
        with self._applied.listing() as take_over:
            async for page in self._api.pages(resource, namespace, PAGE, accept, labelSelector=SELECTOR):
                for item in page["items"] or ():
                    metadata = item["metadata"]
                    found.add((metadata["namespace"], metadata["name"]))
                    take_over((resource.kind, metadata["namespace"], metadata["name"]), item)
        return found

    def _beside(self, child: ChildRecord) -> Iterator[tuple[str, str]]:
        """Kind and name of what has to be there for as long as a child is."""

        def named(purpose: str) -> str:
            return name_beside(child.owner_name, child.owner_uid, purpose)

        for name in child.mounts:
            yield CONFIG_MAP.kind, name
        if self._closed:
            purposes = [CLOSED, endpoint_purpose(child.stage)] if child.kind == "RayService" else [CLOSED]
            yield from ((NETWORK_POLICY.kind, named(purpose)) for purpose in purposes)
        if child.kind == "RayJob" and child.look.phase not in _ENDED:
            yield CONFIG_MAP.kind, named(report_purpose(child.stage))
            yield ROLE.kind, named(ACCOUNT)
            yield ROLE_BINDING.kind, named(ACCOUNT)
