"""Stands between an operator and the API server: the connection may be cut, and watches may be told of errors."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
from aiohttp import web

from llmworkflow.local.machine import HOST

from .control_plane import ControlPlane

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


class ApiProxy:
    """Forwards everything."""

    def __init__(self, plane: ControlPlane) -> None:
        self._server = plane.url
        self._context = ssl.create_default_context(cafile=str(plane.certificate))
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="api-proxy", daemon=True)
        self._connected: set[asyncio.Transport] = set()
        self._watches: dict[web.StreamResponse, str] = {}  # paths, by what answers
        self._is_cut = False
        self.url = ""

    def start(self) -> None:
        """Listen from now on."""
        self._thread.start()
        assert self._up.wait(10), "the proxy did not start"

    def stop(self) -> None:
        """Listen no more."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Everything that is connected is cut off, and nobody gets through for as long as this lasts."""
        self._is_cut = True
        self._in_loop(self._cut_off)
        yield
        self._is_cut = False

    def break_watches(self, plural: str) -> bool:
        """Have the API server say in all watches of a kind that it cannot go on; False where there is none."""
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": 500,
            "reason": "InternalError",
        }
        line = json.dumps({"type": "ERROR", "object": status | {"metadata": {}}}).encode() + b"\n"
        told = [answer for answer, path in self._watches.items() if path.endswith(f"/{plural}")]
        for answer in told:
            asyncio.run_coroutine_threadsafe(answer.write(line), self._loop).result(10)
        return bool(told)

    async def meddle(self, request: web.Request) -> web.StreamResponse | None:
        """An answer in place of the API server's; None: it is asked."""
        return None

    async def answered(self, request: web.Request, status: int) -> web.StreamResponse | None:
        """What is said in place of the API server's answer; None: the answer is passed on."""
        return None

    def _in_loop(self, act: Callable[[], Any]) -> None:
        async def acts() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acts(), self._loop).result(10)

    def _cut_off(self) -> None:
        for transport in self._connected:
            transport.abort()
        self._connected.clear()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}"
        limits = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=limits) as self._session:
            self._up.set()
            await self._ended.wait()
        await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport), "somebody asks"
        self._connected.add(request.transport)
        if self._is_cut:
            self._cut_off()
        if answer := await self.meddle(request):
            return answer
        body = await request.read()
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        async with self._session.request(
            request.method,
            f"{self._server}{request.path_qs}",
            headers=headers,
            data=body or None,
            ssl=self._context,
        ) as answered:
            if said := await self.answered(request, answered.status):
                await answered.read()
                return said
            return await self._pass_on(request, answered)

    async def _pass_on(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=kept)
        if request.query.get("watch") == "true":
            self._watches[response] = request.path
        try:
            with suppress(ConnectionError):  # of an operator that was killed
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
        finally:
            self._watches.pop(response, None)
        return response
