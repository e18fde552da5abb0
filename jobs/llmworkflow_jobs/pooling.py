"""Rows that get a vector or a class of their text in place of an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmworkflow_jobs.answers import Ask
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import Message
from llmworkflow_jobs.rows import Answer, Encode, Request

# Tasks of an engine that writes no text, in vLLM's names too.
TASKS = ("embed", "classify")


def encoder(tokenizer: Any) -> Encode:
    """What makes token ids of the texts of messages, one a line: such models know no chats."""

    def encode(messages: list[Message]) -> list[int]:
        return list(tokenizer.encode("\n".join(message["content"] for message in messages)))

    return encode


def labels_of(folder: str) -> list[str]:
    """The classes of the model in `folder`, empty if it does not name them. Raises ModelInvalid if it has none."""
    config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    made_for = config.get("architectures") or []
    if not any("Classification" in name or "RewardModel" in name for name in made_for):
        raise JobError(
            "ModelInvalid",
            f"{folder} is a {', '.join(made_for)}, which has no classes; name a model that was trained to classify",
        )
    names = config.get("id2label") or {}
    return [names[key] for key in sorted(names, key=int)]


def labelled(ask: Ask, labels: Sequence[str]) -> Ask:
    """Answers with the likeliest of the labels."""

    def labelling(requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for index, answer in ask(requests):
            yield index, answer if answer.error else replace(answer, text=_likeliest(answer, labels))

    return labelling


def _likeliest(answer: Answer, labels: Sequence[str]) -> str:
    if len(answer.values) == 1:  # a score
        return f"{answer.values[0]:.6g}"
    best = answer.values.index(max(answer.values))
    return labels[best] if labels else f"LABEL_{best}"
