"""Asks an endpoint for its verdict on itself."""

import time
from collections.abc import Hashable

import aiohttp

from llmworkflow.core.report import JobReport
from llmworkflow.kube.cache import Key
from llmworkflow.kube.children import ChildRecord
from llmworkflow.kube.report import ENDPOINT_PATH, of_text

TIMEOUT = aiohttp.ClientTimeout(total=5)

_Name = tuple[Key, str]
_Heard = tuple[Hashable, float]  # since when the endpoint is ready, and when it was heard


class Verdicts:
    """What endpoints say of themselves, and when they were heard: once they are ready anew, and from time to time."""

    def __init__(self, session: aiohttp.ClientSession, every: float) -> None:
        self._session = session
        self._every = every  # seconds between questions to an endpoint at rest
        self._heard: dict[_Name, _Heard] = {}

    def due(self, child: ChildRecord, since: Hashable) -> bool:
        """Whether an endpoint that is ready since then has said nothing yet, or long ago."""
        before, at = self._heard.get((child.key, child.name), (None, 0.0))
        return before != since or time.monotonic() >= at + self._every

    async def ask(self, child: ChildRecord, since: Hashable) -> JobReport | None:
        """What an endpoint says that is ready since then, None where it says nothing."""
        if found := await verdict(self._session, child):
            self._heard[child.key, child.name] = (since, time.monotonic())
        return found

    def forget(self, key: Key) -> None:
        """A workflow is gone, and its endpoints with it."""
        for name in [name for name in self._heard if name[0] == key]:
            del self._heard[name]


async def verdict(session: aiohttp.ClientSession, child: ChildRecord) -> JobReport | None:
    """The report of the endpoint, None where it has none yet, or does not answer."""
    try:
        async with session.get(f"{child.url}{ENDPOINT_PATH}", timeout=TIMEOUT) as response:
            return of_text(await response.read(), child) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None  # it is asked again
