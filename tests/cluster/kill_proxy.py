"""Kills the operator that it stands before, before or after a write of its."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from .api_proxy import ApiProxy
from .control_plane import ControlPlane

# Kept alive without these, the operator's own doings are done; what it tells people may be lost with it.
_NOT_COUNTED = ("/leases", "/events")


@dataclass(frozen=True)
class Write:
    """A write that the operator asked for."""

    verb: str
    path: str

    @property
    def counts(self) -> bool:
        """Whether it is one: nobody is told anything by it, and nobody led."""
        return self.verb != "GET" and not any(part in self.path for part in _NOT_COUNTED)


class KillProxy(ApiProxy):
    """Forwards everything. `decide` is asked about each write, and says whether to kill before or after it."""

    def __init__(
        self, plane: ControlPlane, decide: Callable[[Write], str | None], kill: Callable[[], None]
    ) -> None:
        super().__init__(plane)
        self._decide = decide
        self._kill = kill
        self.writes: list[Write] = []  # that reached the API server

    async def meddle(self, request: web.Request) -> web.StreamResponse | None:
        """Kill before a write."""
        write = Write(request.method, request.path)
        fate = self._decide(write) if write.counts else None
        if fate == "before":
            return self._killed()
        request["fate"] = fate
        return None

    async def answered(self, request: web.Request, status: int) -> web.StreamResponse | None:
        """Kill after a write."""
        write = Write(request.method, request.path)
        if write.counts and status < 300:
            self.writes.append(write)
        return self._killed() if request["fate"] == "after" else None

    def _killed(self) -> web.StreamResponse:
        self._kill()
        return web.Response(status=502)
