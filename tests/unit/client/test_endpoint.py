"""How an endpoint is talked to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.client.endpoint import Endpoint, key_of
from llmworkflow.client.errors import ClientError

PIECES = [{"choices": [{"delta": {"role": "assistant"}}]}, {"choices": [{"delta": {"content": "Hé"}}]}]


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers with what it is given as `answer`: status and text."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            server.seen = (self.path, self.headers["authorization"], body)  # type: ignore[attr-defined]
            status, text = server.answer  # type: ignore[attr-defined]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server: Any, status: int, text: str) -> list[str]:
    server.answer = (status, text)
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}", "viggo", "sk-1")
    return list(endpoint.stream("Hello", 8))


@pytest.mark.capability("openai")
def test_pieces_come_as_they_are_said(server: Any) -> None:
    said = "".join(f"data: {json.dumps(piece)}\n\n" for piece in PIECES) + "data: [DONE]\n\n"
    assert ask(server, 200, said) == ["Hé"]
    path, authorization, body = server.seen
    assert (path, authorization) == ("/v1/chat/completions", "Bearer sk-1")
    assert (body["model"], body["messages"], body["max_tokens"]) == (
        "viggo",
        [{"role": "user", "content": "Hello"}],
        8,
    )


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (
            401,
            '{"error": {"message": "asks for a key"}}',
            r"answers 401: asks for a key; set \$OPENAI_API_KEY",
        ),
        (
            404,
            json.dumps(
                {
                    "error": {
                        "message": 'Message: No model "x". (Request ID: 1-2), Internal exception: '
                        "ray.llm: No model (Request ID: 1-2), original exception: 404: No model"
                    }
                }
            ),
            'answers 404: No model "x".$',
        ),
        (502, "<html>", "answers 502: <html>"),
        (200, 'data: {"error": {"message": "engine died"}}\n\n', "broke off: engine died"),
    ],
)
def test_a_refusal_is_told(server: Any, status: int, text: str, told: str) -> None:
    with pytest.raises(ClientError, match=told):
        ask(server, status, text)


def test_an_endpoint_that_is_away_is_told() -> None:
    with pytest.raises(ClientError, match="did not answer"):
        list(Endpoint("http://127.0.0.1:1", "viggo").stream("Hello", 8))


@pytest.mark.parametrize("key", ["sk-1", "my key", "schlüssel", "ключ"])
def test_a_key_comes_as_it_is_known(server: Any, key: str) -> None:
    server.answer = (200, "")
    assert list(Endpoint(f"http://127.0.0.1:{server.server_port}", "viggo", key).stream("Hello", 8)) == []
    assert server.seen[1].encode("latin-1").decode() == f"Bearer {key}"


def asks_for_keys(**serve: Any) -> LLMWorkflow:
    stage = {"name": "chat", "serve": {"models": [{"modelId": "viggo"}], **serve}}
    spec = {"model": {"source": "volume:m"}, "storage": {"volume": {"claimName": "d"}}, "stages": [stage]}
    return LLMWorkflow.model_validate({"metadata": {"name": "demo"}, "spec": spec})


@pytest.mark.parametrize("own", [None, ""])
def test_the_key_is_that_of_the_environment_or_of_the_secret(
    monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    workflow = asks_for_keys(apiKeysFrom={"secretKeyRef": {"name": "keys", "key": "keys"}})
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if own is not None:
        monkeypatch.setenv("OPENAI_API_KEY", own)
    assert key_of(workflow, "chat", lambda source: " sk-1, sk-2\n") == "sk-1"
    assert key_of(workflow, "chat", lambda source: "my key\nother\n") == "my key"
    with pytest.raises(ClientError, match="secret keys holds no key"):
        key_of(workflow, "chat", lambda source: "\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-own")
    assert key_of(workflow, "chat", lambda source: "sk-1") == "sk-own"
    assert "sk-own" not in repr(Endpoint("http://x", "viggo", "sk-own"))


@pytest.mark.parametrize("stage", ["chat", "other"])
def test_no_key_goes_to_an_endpoint_that_asks_for_none(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    assert key_of(asks_for_keys(), stage, lambda source: "sk-1") is None
