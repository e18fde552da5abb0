"""Who gets past the guard of an endpoint, and what is handed on."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from llmworkflow_jobs import api_keys
from llmworkflow_jobs.errors import JobError


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the names of the headers that reach it."""
    names = b",".join(name for name, _ in scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": names})


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> httpx.AsyncClient:
    """A client of an application behind three keys."""
    monkeypatch.setenv(api_keys.KEYS_ENV, "first, second\n third \n\n")
    transport = httpx.ASGITransport(api_keys.KeyGuard(application))
    return httpx.AsyncClient(transport=transport, base_url="http://endpoint")


async def status(client: httpx.AsyncClient, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return (await client.get("/v1/models", headers=headers)).status_code


async def test_one_of_several_keys_is_enough(client: httpx.AsyncClient) -> None:
    for key in ("first", "second", "third"):
        assert await status(client, f"Bearer {key}") == 200
        assert await status(client, f"bearer  {key} ") == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer firs", "Bearer firstx", "Bearer FIRST", "Bearer first, second",
     "Basic first", "first"],
)  # fmt: skip
async def test_nothing_else_is(client: httpx.AsyncClient, authorization: str | None) -> None:
    assert await status(client, authorization) == 401


async def test_a_refusal_is_one_that_clients_of_openai_read(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models", headers={"Authorization": "Bearer guess"})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "guess" not in answer.text
    assert "first" not in answer.text


async def test_the_key_goes_no_further(client: httpx.AsyncClient) -> None:
    answer = await client.get("/", headers={"Authorization": "Bearer first", "X-Other": "kept"})
    assert "authorization" not in answer.text
    assert "x-other" in answer.text


async def test_browsers_may_ask_before_they_send_a_key(client: httpx.AsyncClient) -> None:
    assert (await client.options("/v1/models")).status_code == 200


@pytest.mark.parametrize("text", ["", " , \n"])
def test_no_endpoint_without_a_key_is_left_open(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(api_keys.KEYS_ENV, text)
    with pytest.raises(JobError, match="apiKeysFrom holds no key"):
        api_keys.KeyGuard(application)


async def test_verdict_is_told_without_a_key(client: httpx.AsyncClient) -> None:
    assert (await client.get(api_keys.REPORT_PATH)).status_code == 200
    assert (await client.get(f"{api_keys.REPORT_PATH}/v1/models")).status_code == 401
