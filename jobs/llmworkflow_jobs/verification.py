"""Whether an endpoint answers rows as the batch did that was scored: what is asked, and the verdict."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, TypeVar

from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.replay import ReplayRow
from llmworkflow_jobs.report import to_job_error

_T = TypeVar("_T")
# Sends the body of a request for a chat completion through the endpoint and returns the body of the response.
Ask = Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]

# Asked where there is no batch to compare with.
_GREETING = {"messages": [{"role": "user", "content": "Hello"}], "temperature": 0.0, "max_tokens": 16}
# Differences that a verdict quotes.
_QUOTED = 3
_ADDRESS = re.compile(r"\b\w+://\S+")

logger = logging.getLogger("ray.serve")


class RefusedError(Exception):
    """The endpoint is there, and turns a request down: the message says by which status."""


async def replay(
    names: Mapping[str | None, str], rows: Sequence[ReplayRow], required: float, ask: Ask
) -> dict[str, Any]:
    """Ask for every row at once; the verdict passes if the part of rows that agree is at least `required`.

    `names` says under which name the model is served that answered a row, by the adapter that the row names. Raises
    what `ask` raises, unless that is a refusal: an engine that is away says nothing about the model.
    """
    bodies = [_body(names[row["adapter"]], row) for row in rows]
    found = await _all(map(_difference, rows, bodies, repeat(ask)))
    differences = [f"row {index}: {text}" for index, text in enumerate(found) if text]
    agreement = 1 - len(differences) / len(rows)
    message = f"{len(rows) - len(differences)} of {len(rows)} rows are answered as in the batch"
    if differences:
        message = f"{message}; {'; '.join(differences[:_QUOTED])}"
    first = names[rows[0]["adapter"]]
    return _verdict(first, len(rows), agreement, required, agreement >= required, message)


async def greet(names: Sequence[str], ask: Ask) -> dict[str, Any]:
    """Ask one question of every name; the verdict passes if each answer has a token."""
    replies = await _all(ask({"model": name, "return_token_ids": True, **_GREETING}) for name in names)
    tokens = [len(reply["choices"][0]["token_ids"]) for reply in replies]
    silent = next((name for name, count in zip(names, tokens, strict=True) if not count), None)
    message = f"answered with {sum(tokens)} tokens; there are no rows of a batch to compare with"
    if silent:
        return _verdict(silent, 0, 0.0, 0.0, False, f"{silent} answered with no token")
    return _verdict(names[0], 0, 1.0, 0.0, True, message)


async def limited(asked: Awaitable[dict[str, Any]], seconds: float, model_id: str) -> dict[str, Any]:
    """The verdict that is asked for, or that it took too long."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await asked
    except TimeoutError:
        if not limit.expired():
            raise
        return failed(model_id, f"verification took more than {seconds} s")


def failed(model_id: str, problem: str) -> dict[str, Any]:
    """The verdict on an endpoint that could not be asked."""
    return _verdict(model_id, 0, 0.0, 1.0, False, problem)


def public(error: Exception, workflow_uri: str) -> str:
    """What anybody may read of an error, as a verdict asks for no key: no address, and no word of a library."""
    if not isinstance(error, JobError) or error.reason == "StorageError":
        kind = type(error.__cause__ or error).__name__
        return f"{to_job_error(error).reason}: {kind}; the log of the ingress says more"
    return _ADDRESS.sub("…", str(error).replace(f"{workflow_uri}/", ""))


def difference(row: ReplayRow, reply: Mapping[str, Any]) -> str | None:
    """How the endpoint's answer differs from the row's, or None.

    The prompt must be the same token for token, and the answer too where the row says what it is.
    """
    choice = reply["choices"][0]
    if place := _first_difference("prompt", row["prompt_token_ids"], reply["prompt_token_ids"]):
        return place
    if row["generated_token_ids"] is None:
        return None if choice["token_ids"] else "the answer has no tokens"
    if place := _first_difference("answer", row["generated_token_ids"], choice["token_ids"]):
        return place
    message = choice["message"]
    text = message["content"] or ""
    # The endpoint tells the thinking apart, of which the batch does not know.
    parsed = message.get("reasoning") is not None
    if not parsed and text != row["generated_text"]:
        logger.warning("the tokens agree, the text is %r and was %r", text, row["generated_text"])
        return f"the tokens agree, {_first_character(row['generated_text'], text)}"
    return None


async def _difference(row: ReplayRow, body: dict[str, Any], ask: Ask) -> str | None:
    try:
        reply = await ask(body)
    except RefusedError as error:  # the batch was answered
        return f"the endpoint refuses it: {error}"
    try:
        return difference(row, reply)
    except (LookupError, TypeError) as error:
        return f"the reply is not one of a chat: {type(error).__name__}"


async def _all(asked: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """What all of them return. The first error ends the others, so that none goes on beside the next try."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asked]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _body(model_id: str, row: ReplayRow) -> dict[str, Any]:
    return {"model": model_id, "messages": row["messages"], "return_token_ids": True, **row["sampling"]}


def _first_difference(what: str, batch: Sequence[int], endpoint: Sequence[int]) -> str | None:
    for index, (expected, found) in enumerate(zip(batch, endpoint, strict=False)):
        if expected != found:
            return f"token {index} of the {what} is {found}, in the batch {expected}"
    if len(batch) != len(endpoint):
        return f"the {what} has {len(endpoint)} tokens, in the batch {len(batch)}"
    return None


def _first_character(batch: str, endpoint: str) -> str:
    """Where two texts part; not what they say, which is for those alone who may read the rows."""
    places = (place for place, (was, now) in enumerate(zip(batch, endpoint, strict=False)) if was != now)
    same = next(places, min(len(batch), len(endpoint)))
    return f"the texts of {len(endpoint)} characters, in the batch {len(batch)}, differ at character {same}"


def _verdict(
    model_id: str, rows: int, agreement: float, required: float, passed: bool, message: str
) -> dict[str, Any]:
    return {
        "modelId": model_id,
        "rows": rows,
        "agreement": round(agreement, 4),
        "required": required,
        "passed": passed,
        "message": message,
    }
