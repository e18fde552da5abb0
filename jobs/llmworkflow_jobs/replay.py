"""Rows of a finished batch that serving puts through its endpoint, to see that clients get what was scored."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from typing import Any

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.rows import Answer, Request

FILE = "replay.jsonl"
# Serving asks for a few; more would only make the file larger.
_MAX_ROWS = 64

ReplayRow = dict[str, Any]


def choose(
    answered: Iterable[tuple[Request, Answer]], sampling: Mapping[str, Any], reproducible: bool
) -> list[ReplayRow]:
    """At most 64 rows, always the same ones for the same batch, from all over it; of a conversation the first turn.

    A row is {messages, adapter, prompt_token_ids, generated_token_ids, generated_text, sampling}. Where `sampling` is
    random, no other engine can give the same tokens: ids and text are then None, and only prompts can be compared.
    """
    rows = [
        {
            "messages": request.messages,
            "adapter": request.adapter,
            "prompt_token_ids": request.token_ids,
            "generated_token_ids": answer.token_ids if reproducible else None,
            "generated_text": answer.text if reproducible else None,
            "sampling": {**sampling, **request.sampling},
        }
        for request, answer in ((request, _first(answer)) for request, answer in answered)
        if answer.error is None
    ]
    return random.Random(0).sample(rows, min(len(rows), _MAX_ROWS))


def _first(answer: Answer) -> Answer:
    """The answer to the first turn."""
    return answer.turns[0] if answer.turns else answer


def write(rows: Iterable[ReplayRow], config: JobConfig) -> None:
    """Write the rows into the folder of this attempt."""
    filesystem, path = storage.open_uri(f"{config.output_uri}/{FILE}", config)
    storage.write_text(filesystem, path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def read(uri: str, config: JobConfig) -> list[ReplayRow]:
    """The rows of the file at `uri`."""
    filesystem, path = storage.open_uri(uri, config)
    with filesystem.open_input_stream(path) as stream:
        lines = stream.read().decode().split("\n")
    return [json.loads(line) for line in lines if line]
