"""Requests to an API server whose connections break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from llmworkflow.kube import metrics
from llmworkflow.kube.client import Api
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import CONFIG_MAP

BROKEN_OFF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


async def answer_in_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(BROKEN_OFF)
    await writer.drain()
    writer.close()


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """An API whose server ends each connection within the body of its answer."""
    async with await asyncio.start_server(answer_in_part, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ApiClient(Configuration(host=f"http://127.0.0.1:{port}")) as connection:
            yield Api(connection)


def unreachable() -> float:
    return metrics.API_REQUESTS.labels("GET", "unreachable")._value.get()


async def test_answer_that_breaks_off_is_no_answer(api: Api) -> None:
    before = unreachable()
    with pytest.raises(ApiError, match="GET /api/v1/namespaces/team/configmaps/code: ") as caught:
        await api.get(CONFIG_MAP, "team", "code")
    assert (caught.value.status, caught.value.reason) == (0, "Unreachable")
    assert unreachable() == before + 1
