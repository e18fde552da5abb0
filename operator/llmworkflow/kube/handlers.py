"""Kopf's part: it watches workflows, and every event of one puts it into the queue."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import kopf

from llmworkflow.api.spec.workflow import GROUP, PLURAL, VERSION
from llmworkflow.kube.cache import Key
from llmworkflow.kube.login import login

# A watch is ended in order by the server before the client takes it for dead: one that went silent is noticed.
SERVER_TIMEOUT, CLIENT_TIMEOUT, CONNECT_TIMEOUT = 600, 660, 30
PAGE = 100  # workflows of a list at a time: what more of them take is memory that never comes back


class Patience:
    """Pauses between tries that never come to an end: an API server may be away for long."""

    def __iter__(self) -> Iterator[float]:
        """Seconds."""
        yield from (1.0, 2.0)
        while True:
            yield 5.0


def make_registry(add: Callable[[Key], None], is_own: Callable[[Key, str], bool]) -> kopf.OperatorRegistry:
    """The handlers. Only on.event: whatever else Kopf has leaves finalizers or annotations on the resource."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(login)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def changed(namespace: str | None, name: str, meta: kopf.Meta, type: str | None, **_: Any) -> None:  # noqa: A002
        key = (namespace or "", name)
        if type == "DELETED" or not is_own(key, meta["resourceVersion"]):
            add(key)

    return registry


def make_settings() -> kopf.OperatorSettings:
    """Kopf without a word or a mark of its own in the cluster."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.networking.error_backoffs = Patience()
    settings.persistence.diffbase_storage = _NoDiffs()
    settings.watching.chunk_size = PAGE
    settings.watching.server_timeout = SERVER_TIMEOUT
    settings.watching.client_timeout = CLIENT_TIMEOUT
    settings.watching.connect_timeout = CONNECT_TIMEOUT
    return settings


class _NoDiffs(kopf.DiffBaseStorage):
    """Kopf compares with what it saw before, by deep copies of every event's object: nobody here asks for that."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        return cast(kopf.BodyEssence, {})

    def fetch(self, *, body: kopf.Body) -> None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Leave no mark."""
