"""Liveness, readiness and metrics over HTTP, each by what the operator really does."""

from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

STALE_SECONDS = 30.0
"""The queue beats every second: one that is older than this hangs."""


class Health:
    """Answers probes and Prometheus."""

    def __init__(
        self, age: Callable[[], float], checks: Callable[[], Mapping[str, str]], role: Callable[[], str]
    ) -> None:
        self._age = age
        self._checks = checks
        self._role = role

    async def start(self, host: str, port: int) -> web.AppRunner:
        """Listen; the caller cleans the runner up."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        return runner

    async def _healthz(self, _: web.Request) -> web.Response:
        """Whether the queue is alive; a restart helps where it is not."""
        age = self._age()
        if age > STALE_SECONDS:
            return web.Response(status=503, text=f"the queue has not moved for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        """Whether everything is there to work with, or to take over; else what is missing."""
        missing = {name: told for name, told in self._checks().items() if told}
        lines = [f"role: {self._role()}", *(f"{name}: {told}" for name, told in missing.items())]
        return web.Response(status=503 if missing else 200, text="\n".join(lines) + "\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
