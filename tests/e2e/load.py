"""Clients that keep an endpoint busy, and what came of their requests."""

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
import openai
from openai.types.chat import ChatCompletionChunk

QUESTION = "Give the dialogue act with its attributes.\nIron Harbor was released in 2009."


@dataclass
class Load:
    """Clients that stream one answer after the other, each on its own, while the block runs."""

    url: str
    model: str
    key: str
    clients: int = 8
    # When each ended, and which adapter gave it.
    answers: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        print(f"{len(self.answers)} answers, {len(self.failures)} failed: {self.failures[:3]}")

    def first_of(self, adapter: str) -> float | None:
        """When the first answer of an adapter came, by a part of its name."""
        return next((when for when, name in self.answers if adapter in name), None)

    def _ask_on(self) -> None:
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=120)
        while not self._stopping.is_set():
            try:
                self.answers.append(self._ask(client))
            except (openai.OpenAIError, httpx.HTTPError, AssertionError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                self._stopping.wait(0.1)  # a failure that comes at once would be counted by the thousand

    def answer(self, client: openai.OpenAI, question: str = QUESTION) -> str:
        """What the model answers."""
        chunks = self._stream(client, question)
        return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)

    def _ask(self, client: openai.OpenAI) -> tuple[float, str]:
        chunks = self._stream(client, QUESTION)
        ended = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
        assert ended, f"the stream broke off after {len(chunks)} pieces"
        return time.monotonic(), chunks[0].model

    def _stream(self, client: openai.OpenAI, question: str) -> list[ChatCompletionChunk]:
        return list(
            client.chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": question}],
                temperature=0,
                max_tokens=64,
                stream=True,
            )
        )
