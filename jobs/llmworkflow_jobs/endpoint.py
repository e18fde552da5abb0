"""Answers of an OpenAI endpoint: requests in flight at a rate, tried again while it is busy."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from llmworkflow_jobs import api_keys, media
from llmworkflow_jobs.answers import askable
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.media import Media
from llmworkflow_jobs.prompt import RowError
from llmworkflow_jobs.rows import Answer, Request
from llmworkflow_jobs.sampling import FORM

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEY_ENV = "LLMWORKFLOW_HTTP_API_KEY"
# Tasks whose rows an endpoint answers.
TASKS = ("http", "serve")

# An answer may be long, and an endpoint that is scaled to zero has to start first.
_TIMEOUT_SECONDS = 600.0
_SERVE_RETRIES = 3
# By these an endpoint says that it is busy; the same request may be answered later.
_BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
# What every endpoint knows; the rest is for those that have vLLM's further parameters.
_STANDARD = (
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
)


@dataclass(frozen=True)
class Endpoint:
    """An endpoint, up to and with /v1, and how it may be asked; without a model, the first that it lists answers."""

    url: str
    model: str | None
    in_flight: int
    max_retries: int = _SERVE_RETRIES
    requests_per_second: float | None = None
    headers: Mapping[str, str] | None = None
    media: Media | None = None


def of(config: JobConfig) -> Endpoint:
    """The endpoint of a batch of task http or serve."""
    section = config.section
    in_flight, beside = section["batchSize"] * section["concurrency"], media.of(config)
    if section["task"] == "serve":
        through = section["through"]
        return Endpoint(f"{through['url'].rstrip('/')}/v1", through["model"], in_flight, media=beside)
    http = section["http"]
    return Endpoint(
        http["url"],
        http["model"],
        in_flight,
        http["maxRetries"],
        http["requestsPerSecond"],
        http["headers"],
        beside,
    )


def answer(
    requests: Sequence[Request], endpoint: Endpoint, parameters: Mapping[str, Any]
) -> Iterator[tuple[int, Answer]]:
    """Yield (position in `requests`, answer) once for each request without an error, in any order.

    Raises EndpointFailed if the endpoint cannot be reached at first, or refuses the key.
    """
    stream = _stream(requests, endpoint, parameters)
    with asyncio.Runner() as runner:
        while (found := runner.run(_next(stream))) is not None:
            yield found


async def _next(stream: AsyncIterator[tuple[int, Answer]]) -> tuple[int, Answer] | None:
    return await anext(stream, None)


async def _stream(
    requests: Sequence[Request], endpoint: Endpoint, parameters: Mapping[str, Any]
) -> AsyncIterator[tuple[int, Answer]]:
    """Keeps as many requests in flight as the endpoint may have; each goes out when the rate allows it."""
    async with _client(endpoint) as client:
        model = await _model(client, endpoint.model)
        running: set[asyncio.Task[tuple[int, Answer]]] = set()
        waiting = iter(askable(requests))
        while True:
            for index in waiting:
                one = _one(client, index, requests[index], endpoint.media, {"model": model, **parameters})
                running.add(asyncio.create_task(one))
                if len(running) >= endpoint.in_flight:
                    break
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()


def _client(endpoint: Endpoint) -> AsyncOpenAI:
    import openai

    pace = _Pace(endpoint.requests_per_second)
    # The key may be a list of keys, of which an endpoint of a workflow takes any.
    keys = api_keys.listed(os.environ.get(KEY_ENV, ""))
    return openai.AsyncOpenAI(
        base_url=endpoint.url,
        api_key=keys[0] if keys else "none",
        max_retries=endpoint.max_retries,
        default_headers=endpoint.headers,
        timeout=_TIMEOUT_SECONDS,
        # retries are requests too
        http_client=openai.DefaultAsyncHttpxClient(event_hooks={"request": [pace.wait]}),
    )


class _Pace:
    """Lets requests through one after the other, so many a second."""

    def __init__(self, per_second: float | None) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0

    async def wait(self, request: Any) -> None:
        now = time.monotonic()
        slot = max(now, self._next)
        self._next = slot + self._gap
        await asyncio.sleep(slot - now)


async def _model(client: AsyncOpenAI, named: str | None) -> str:
    """The model to ask. One that is named need not be listed, but an endpoint that is away is no fault of the rows."""
    import openai

    try:
        models = (await client.models.list()).data
    except openai.OpenAIError as error:
        if named and not isinstance(error, openai.APIConnectionError):
            return named
        raise _failed(client, error) from error
    except AttributeError:  # it answers, and not in JSON
        models = []
    if not (named or models):
        raise JobError(
            "EndpointFailed", f"{client.base_url} lists no model; set http.model, or correct http.url"
        )
    return named or str(models[0].id)


async def _one(
    client: AsyncOpenAI, index: int, request: Request, beside: Media | None, parameters: Mapping[str, Any]
) -> tuple[int, Answer]:
    import openai

    began = time.monotonic()
    try:
        messages = await asyncio.to_thread(beside.messages, request) if beside else request.messages
        body = {"messages": messages, **_parameters({**parameters, **request.sampling})}
        reply = await client.chat.completions.create(**body)
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise _failed(client, error) from error
    except (openai.OpenAIError, RowError, ValueError) as error:  # the last where it is no JSON
        return index, Answer("", [], -1.0, f"{type(error).__name__}: {error}")
    choices = getattr(reply, "choices", None)
    if not choices or choices[0].message is None:  # a gateway's word that nobody is there, or a filter's
        return index, Answer("", [], -1.0, f"NoAnswer: the endpoint sent no message: {str(reply)[:200]}")
    choice, usage = choices[0], reply.usage
    return index, Answer(
        choice.message.content or "",
        [],
        time.monotonic() - began,
        input_tokens=usage.prompt_tokens if usage else None,
        output_tokens=usage.completion_tokens if usage else None,
        truncated=choice.finish_reason == "length",
    )


def _parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """How a chat completion is asked for; a JSON schema in the words that every endpoint knows."""
    further = {name: value for name, value in parameters.items() if name not in _STANDARD}
    standard = {name: value for name, value in parameters.items() if name in _STANDARD}
    schema = (further.get(FORM) or {}).get("json")
    form: dict[str, Any] = {}
    if schema is not None:
        del further[FORM]
        described = {"name": "answer", "schema": json.loads(schema)}
        form = {"response_format": {"type": "json_schema", "json_schema": described}}
    return {**standard, **form, "extra_body": further or None}


def _failed(client: AsyncOpenAI, error: Exception) -> JobError:
    import openai

    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    retryable = status is None or status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return JobError(
        "EndpointFailed", f"{client.base_url}: {type(error).__name__}: {error}", retryable=retryable
    )
