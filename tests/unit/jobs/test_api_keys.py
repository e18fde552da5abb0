"""Who gets past the guard of an endpoint, and what is handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from llmworkflow_jobs import api_keys
from llmworkflow_jobs.errors import JobError


@pytest.fixture
def client() -> httpx.AsyncClient:
    """A client of a guarded application that answers with the headers that reach it."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        names = b",".join(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": names})

    transport = httpx.ASGITransport(api_keys.KeyGuard(application))
    return httpx.AsyncClient(transport=transport, base_url="http://endpoint")


async def status(client: httpx.AsyncClient, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return (await client.get("/v1/models", headers=headers)).status_code


async def test_one_of_several_keys_is_enough(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(api_keys.KEYS_ENV, "first, second\n third \n\n")
    for key in ("first", "second", "third"):
        assert await status(client, f"Bearer {key}") == 200
        assert await status(client, f"bearer  {key} ") == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer firs", "Bearer firstx", "Bearer FIRST", "Bearer first, second",
     "Basic first", "first"],
)  # fmt: skip
async def test_nothing_else_is(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, authorization: str | None
) -> None:
    monkeypatch.setenv(api_keys.KEYS_ENV, "first, second")
    assert await status(client, authorization) == 401


async def test_a_refusal_is_one_that_clients_of_openai_read(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(api_keys.KEYS_ENV, "first")
    answer = await client.get("/v1/models", headers={"Authorization": "Bearer guess"})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert "guess" not in answer.text
    assert "first" not in answer.text


async def test_the_key_goes_no_further(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(api_keys.KEYS_ENV, "first")
    answer = await client.get("/", headers={"Authorization": "Bearer first", "X-Other": "kept"})
    assert "authorization" not in answer.text
    assert "x-other" in answer.text


async def test_browsers_may_ask_before_they_send_a_key(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(api_keys.KEYS_ENV, "first")
    assert (await client.options("/v1/models")).status_code == 200


async def test_keys_of_a_file_change_while_it_serves(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    monkeypatch.setenv(api_keys.KEYS_FILE_ENV, str(file))
    file.write_text("old")
    assert await status(client, "Bearer old") == 200
    file.write_text("new")
    assert [await status(client, f"Bearer {key}") for key in ("old", "new")] == [401, 200]


@pytest.mark.parametrize("text", [None, "", " , \n"])
async def test_without_a_key_everyone_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    monkeypatch.setenv(api_keys.KEYS_FILE_ENV, str(tmp_path / "keys"))
    if text is not None:
        (tmp_path / "keys").write_text(text)
    assert await status(client, "Bearer ") == 401
    with pytest.raises(JobError, match="apiKeysFrom"):
        api_keys.known_keys()
