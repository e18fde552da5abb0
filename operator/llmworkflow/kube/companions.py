"""What stands beside children: watched without its content, so that it is known what was written and what is gone."""

from collections.abc import AsyncIterator, Callable

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import LABEL_WORKFLOW
from llmworkflow.kube.cache import Key
from llmworkflow.kube.client import METADATA, Api
from llmworkflow.kube.resources import (
    CONFIG_MAP,
    NETWORK_POLICY,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    Resource,
)
from llmworkflow.kube.watch import SELECTOR, Watch

COMPANIONS = (CONFIG_MAP, SERVICE_ACCOUNT, ROLE, ROLE_BINDING, NETWORK_POLICY)

Place = tuple[str, str, str]
"""Kind, namespace and name of an object."""


class CompanionWatch(Watch):
    """Tells of changes and deletions of one kind, and of times during which some may have been missed."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        namespace: str,
        changed: Callable[[Place, Key], None],
        gone: Callable[[Place, Key], None],
        missed: Callable[[], None],
    ) -> None:
        super().__init__(api, resource, namespace)
        self._changed = changed
        self._gone = gone
        self._missed = missed

    async def _list(self) -> str:
        """The version alone: nothing is kept of what is there."""
        accept = METADATA.format("List")
        page = await self._api.list(
            self._resource, self._namespace, accept=accept, labelSelector=SELECTOR, limit="1"
        )
        self._missed()
        version: str = page["metadata"]["resourceVersion"]
        return version

    def _changes(self, version: str) -> AsyncIterator[JsonObject]:
        return self._api.watch(self._resource, self._namespace, version, SELECTOR, accept=METADATA.format(""))

    def _take_over(self, kind: str, item: JsonObject) -> None:
        metadata = item["metadata"]
        place = (self._resource.kind, metadata["namespace"], metadata["name"])
        tell = self._gone if kind == "DELETED" else self._changed
        tell(place, (metadata["namespace"], metadata["labels"].get(LABEL_WORKFLOW, "")))
