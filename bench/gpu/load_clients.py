"""Clients of an OpenAI endpoint that ask one question after the other, in processes of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import aiohttp

# More than one, so that it is not the clients that are measured.
_PROCESSES = 4
_COUNTED = re.compile(rb'"completion_tokens": ?(\d+)')


Question = list[dict[str, str]]  # messages


@dataclass(frozen=True)
class Load:
    """Who is asked, by how many at once, and how long each answer is."""

    model: str
    clients: int
    tokens: int


@dataclass(frozen=True)
class Answered:
    """What an answer took."""

    tokens: int
    seconds: float
    first: float
    ended: float


def measure(url: str, load: Load, questions: list[Question], *, stream: bool) -> dict[str, Any]:
    """Tokens a second over all questions, and how long answers take."""
    with ProcessPoolExecutor(_PROCESSES, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(time.sleep, [1.0] * _PROCESSES))  # until all have started
        begin = time.time() + 0.5
        shares = [
            pool.submit(_share, url, load, questions[number::_PROCESSES], stream, begin)
            for number in range(_PROCESSES)
        ]
        answers = [answer for share in shares for answer in share.result()]
    assert all(answer.tokens == load.tokens for answer in answers)
    took = max(answer.ended for answer in answers) - begin
    return {
        "requests": len(answers),
        "seconds": round(took, 2),
        "tokensPerSecond": round(sum(answer.tokens for answer in answers) / took),
        "requestSecondsMedian": round(statistics.median(answer.seconds for answer in answers), 3),
        "firstTokenMedian": round(statistics.median(answer.first for answer in answers), 3),
    }


def _share(url: str, load: Load, questions: list[Question], stream: bool, begin: float) -> list[Answered]:
    return asyncio.run(_ask_all(url, load, questions, stream, begin))


async def _ask_all(
    url: str, load: Load, questions: list[Question], stream: bool, begin: float
) -> list[Answered]:
    waiting, answers = iter(questions), list[Answered]()
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(300)) as session:

        async def client() -> None:
            for question in waiting:
                answers.append(await _ask(session, load, question, stream))

        await asyncio.sleep(begin - time.time())
        await asyncio.gather(*(client() for _ in range(load.clients // _PROCESSES)))
    return answers


async def _ask(session: aiohttp.ClientSession, load: Load, question: Question, stream: bool) -> Answered:
    body = {
        "model": load.model,
        "messages": question,
        "max_tokens": load.tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }
    began, first, parts = time.time(), 0.0, list[bytes]()
    async with session.post("/v1/chat/completions", json=body) as reply:
        async for part in reply.content.iter_any():
            first = first or time.time()
            parts.append(part)
    ended = time.time()
    if not reply.ok:
        raise RuntimeError(f"{reply.status}: {b''.join(parts).decode()}")
    tokens = int(_COUNTED.findall(b"".join(parts))[-1])
    return Answered(tokens, ended - began, first - began, ended)
