"""Requests to Ray Serve are traced as `serve.tracing` says: the variables, Ray's own spans, and our exporter."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from .traces import Receiver, receiving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def traced(ray_session: str) -> Iterator[tuple[str, Receiver]]:
    """The address of an application with the variables of an endpoint that is traced, and what receives its traces."""
    from ray import serve

    with receiving() as receiver:

        @serve.deployment(ray_actor_options={"runtime_env": {"env_vars": receiver.variables}})
        class Echo:
            async def __call__(self) -> str:
                return "hello"

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(Echo.bind(), name="echo", route_prefix="/echo")
        yield f"http://127.0.0.1:{port}/echo", receiver
        serve.shutdown()


@pytest.mark.capability("traces")
def test_a_request_leaves_a_span(traced: tuple[str, Receiver]) -> None:
    url, receiver = traced
    assert httpx.get(url, timeout=60).text == "hello"
    span = receiver.until(lambda span: span.name.startswith("replica_handle_request Echo"))
    assert (span.service, span.method, span.route, span.status) == ("viggo-chat", "GET", "/echo", "200")
