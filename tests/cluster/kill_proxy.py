"""Stands between an operator and the API server, and kills the operator before or after a write of its."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from aiohttp import web

from llmworkflow.local.machine import HOST

# Kept alive without these, the operator's own doings are done; what it tells people may be lost with it.
_NOT_COUNTED = ("/leases", "/events")
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


@dataclass(frozen=True)
class Write:
    """A write that the operator asked for."""

    verb: str
    path: str


class KillProxy:
    """Forwards everything. `decide` is asked about each write, and says whether to kill before or after it."""

    def __init__(
        self, server: str, certificate: str, decide: Callable[[Write], str | None], kill: Callable[[], None]
    ) -> None:
        self._server = server
        self._context = ssl.create_default_context(cafile=certificate)
        self._decide = decide
        self._kill = kill
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kill-proxy", daemon=True)
        self.url = ""
        self.writes: list[Write] = []  # that reached the API server

    def start(self) -> None:
        """Listen from now on."""
        self._thread.start()
        assert self._up.wait(10), "the proxy did not start"

    def stop(self) -> None:
        """Listen no more."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}"
        limits = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=limits) as self._session:
            self._up.set()
            await self._ended.wait()
        await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        write = Write(request.method, request.path)
        fate = self._decide(write) if _is_counted(write) else None
        body = await request.read()
        if fate == "before":
            self._kill()
            return web.Response(status=502)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        url = f"{self._server}{request.path_qs}"
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, ssl=self._context
        ) as answer:
            if _is_counted(write) and answer.status < 300:
                self.writes.append(write)
            if fate == "after":
                await answer.read()
                self._kill()
                return web.Response(status=502)
            return await _passed_on(request, answer)


async def _passed_on(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP_BY_HOP}
    response = web.StreamResponse(status=answer.status, headers=kept)
    with suppress(ConnectionError):  # of an operator that was killed
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    return response


def _is_counted(write: Write) -> bool:
    return write.verb != "GET" and not any(part in write.path for part in _NOT_COUNTED)
