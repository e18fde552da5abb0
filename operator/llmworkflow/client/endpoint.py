"""Talks to an endpoint as OpenAI's clients do."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from llmworkflow.api.spec.common import SecretKeySource
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.client.errors import ClientError

KEY_VARIABLE = "OPENAI_API_KEY"
TIMEOUT_SECONDS = 300  # between two pieces of an answer; the first may wait for an engine to load
UNAUTHORIZED = 401
# How Ray Serve wraps what it tells: once for people, twice more for its developers.
_WRAPPED = re.compile(r"Message: (.*?)( \(Request ID: \S*\))?, Internal exception: .*", re.DOTALL)
_DATA, _DONE = "data:", "[DONE]"


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that this machine reaches."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)

    def stream(self, message: str, max_tokens: int) -> Iterator[str]:
        """The pieces of the model's answer, as they come.

        Raises:
            ClientError: the endpoint does not answer.
        """
        body = {"model": self.model, "messages": [{"role": "user", "content": message}]}
        for line in self._lines({**body, "max_tokens": max_tokens, "stream": True}):
            text = line.decode().strip().removeprefix(_DATA).strip()
            if text and text != _DONE:
                yield from _pieces(json.loads(text))

    def _lines(self, body: dict[str, Any]) -> Iterator[bytes]:
        from urllib3 import PoolManager
        from urllib3.exceptions import HTTPError

        headers = {"content-type": "application/json"}
        if self.key:
            # http.client takes a character for a byte.
            headers["authorization"] = f"Bearer {self.key}".encode().decode("latin-1")
        try:
            with PoolManager(retries=False, timeout=TIMEOUT_SECONDS) as http:
                response = http.request(
                    "POST",
                    f"{self.url}/v1/chat/completions",
                    body=json.dumps(body),
                    headers=headers,
                    preload_content=False,
                )
                if response.status != 200:
                    told = f"{self.url} answers {response.status}: {_complaint(response.read())}"
                    remedy = f"; set ${KEY_VARIABLE} to one" if response.status == UNAUTHORIZED else ""
                    raise ClientError(f"{told}{remedy}")
                yield from response
        except HTTPError as error:
            raise ClientError(f"{self.url} did not answer: {error}") from error


def key_of(workflow: LLMWorkflow, stage: str, secret: Callable[[SecretKeySource], str]) -> str | None:
    """A key of the endpoint, where it asks for one: of the environment, else the first of its Secret."""
    serve = next((item.serve for item in workflow.spec.stages if item.name == stage), None)
    if serve is None or serve.api_keys_from is None:
        return None
    if own := os.environ.get(KEY_VARIABLE):
        return own
    keys = [key.strip() for key in re.split(r"[,\n]", secret(serve.api_keys_from)) if key.strip()]
    if not keys:
        name = serve.api_keys_from.secret_key_ref.name
        raise ClientError(f"secret {name} holds no key: write one a line into it")
    return keys[0]


def _pieces(event: dict[str, Any]) -> Iterator[str]:
    if "error" in event:
        told = event["error"].get("message")
        raise ClientError(f"the endpoint broke off: {_plain(told) if told else event['error']}")
    for choice in event.get("choices", []):
        if content := choice.get("delta", {}).get("content"):
            yield content


def _complaint(content: bytes) -> str:
    try:
        return _plain(str(json.loads(content)["error"]["message"]))
    except (ValueError, KeyError, TypeError):
        return content[:300].decode(errors="replace")


def _plain(told: str) -> str:
    wrapped = _WRAPPED.fullmatch(told)
    return wrapped[1] if wrapped else told
