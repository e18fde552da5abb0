"""Conversations of several turns: what is asked next, once a turn was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmworkflow_jobs.answers import NextTurn
from llmworkflow_jobs.prompt import Message, RowError, fill
from llmworkflow_jobs.rows import Encode, Request


def following(templates: Sequence[str], prompt: Mapping[str, Any], encode: Encode) -> NextTurn:
    """What makes the request of the next turn, whose user's message is the next of the `templates` over the row."""
    prefill = prompt.get("assistantPrefill") or ""

    def next_turn(first: Request, texts: Sequence[str]) -> Request:
        try:
            messages = list(first.messages)
            for place, (text, template) in enumerate(zip(texts, templates, strict=False)):
                said: Message = {"role": "assistant", "content": prefill + text}
                asked: Message = {"role": "user", "content": fill(template, f"turns[{place}]", row=first.row)}
                messages += [said, asked]
            return replace(first, messages=messages, token_ids=encode(messages))
        except RowError as error:
            return first.failed(str(error))

    return next_turn
