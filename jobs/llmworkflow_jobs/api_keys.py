"""API keys of an endpoint: a request that brings none of them goes no further than this."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from llmworkflow_jobs.errors import JobError

KEYS_ENV = "LLMWORKFLOW_API_KEYS"
# Where the endpoint tells what came of its verification: the operator reads that, and has no key.
REPORT_PATH = "/llmworkflow/report"

_HEADER = b"authorization"
_REFUSAL = {
    "error": {
        "message": "this endpoint asks for an API key: send one of its keys as `Authorization: Bearer <key>`",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]


def listed(text: str) -> list[str]:
    """The keys in a text, one a line or separated by commas; spaces inside belong to a key."""
    return [key.strip() for key in text.replace(",", "\n").splitlines() if key.strip()]


def known_keys() -> list[bytes]:
    """The keys of the environment.

    Raises OptionInvalid where there is none: an endpoint that is to ask for keys would be closed to everyone.
    """
    keys = [key.encode() for key in listed(os.environ.get(KEYS_ENV, ""))]
    if not keys:
        raise JobError(
            "OptionInvalid", "the Secret of serve.apiKeysFrom holds no key; write one a line into it"
        )
    return keys


class KeyGuard:
    """ASGI middleware that answers 401 to a request without a known key, and hands others on without their key."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._keys = known_keys()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        # A browser asks by OPTIONS whether it may send a key, and cannot send one with that.
        if scope["type"] != "http" or scope["method"] == "OPTIONS" or scope["path"] == REPORT_PATH:
            await self._app(scope, receive, send)
        elif self._admits(_brought(scope)):
            headers = [(name, value) for name, value in scope["headers"] if name.lower() != _HEADER]
            await self._app({**scope, "headers": headers}, receive, send)
        else:
            await _refuse(send)

    def _admits(self, brought: bytes) -> bool:
        """Whether a key is known. It is compared with all, so that the time tells nothing of where it differs."""
        return sum(hmac.compare_digest(brought, key) for key in self._keys) > 0


def _brought(scope: Scope) -> bytes:
    """The key that a request brings, empty if none."""
    values = [value for name, value in scope["headers"] if name.lower() == _HEADER]
    scheme, _, key = (values[0] if values else b"").partition(b" ")
    return bytes(key.strip()) if scheme.lower() == b"bearer" else b""


async def _refuse(send: Any) -> None:
    body = json.dumps(_REFUSAL).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
