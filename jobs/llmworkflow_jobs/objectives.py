"""What each objective of a fine-tuning learns from: the columns that a row needs, and the token ids that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmworkflow_jobs.data import Row
from llmworkflow_jobs.prompt import (
    RowError,
    answer_token_ids,
    check_row,
    judgement_of,
    messages_of,
    preferred_of,
    text_of,
    training_token_ids,
)

# The label of tokens that the loss leaves out, as torch and transformers have it.
IGNORED = -100

Example = dict[str, Any]
Section = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """What token ids are made with: tokenizer, prompt, the tokens at which generation stops, and the fields."""

    tokenizer: Any
    prompt: Section
    end_ids: Collection[int]
    training: Section


# From a row to its examples, none if nothing is left to learn once they are cut, and whether they had to be cut.
Examples = Callable[[Row, Source], tuple[list[Example], bool]]


@dataclass(frozen=True)
class Objective:
    """What one objective asks of a row, and makes of it."""

    check: Callable[[Mapping[str, Any], Section], None]
    examples: Examples


def _sft(row: Row, source: Source) -> tuple[list[Example], bool]:
    example = training_token_ids(source.tokenizer, row, source.prompt, source.end_ids)
    length = source.training["maxLength"]
    labels = example.input_ids
    if source.training["lossOn"] != "all":
        pairs = zip(example.input_ids, example.completion_mask, strict=True)
        labels = [token if kept else IGNORED for token, kept in pairs]
    cut = len(labels) > length
    if all(label == IGNORED for label in labels[:length]):
        return [], cut
    return [{"input_ids": example.input_ids[:length], "labels": labels[:length]}], cut


def _pretrain(row: Row, source: Source) -> tuple[list[Example], bool]:
    """The text and the token that ends one, in as many pieces as it takes: nothing of it is cut off."""
    text = source.tokenizer.encode(text_of(row, source.prompt), add_special_tokens=False)
    ids = [*text, source.tokenizer.eos_token_id]
    length = source.training["maxLength"]
    pieces = [ids[start : start + length] for start in range(0, len(ids), length)]
    return [{"input_ids": piece, "labels": piece} for piece in pieces if len(piece) > 1], False


def _dpo(row: Row, source: Source) -> tuple[list[Example], bool]:
    prompt, answers, cut = _answered(row, source, preferred_of(row, source.prompt))
    chosen, rejected = answers
    found = [{"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}]
    return (found if chosen and rejected else []), cut


def _kto(row: Row, source: Source) -> tuple[list[Example], bool]:
    answer, good = judgement_of(row, source.prompt)
    prompt, (completion,), cut = _answered(row, source, [answer])
    found = [{"prompt_ids": prompt, "completion_ids": completion, "label": good}]
    return (found if completion else []), cut


def _answered(row: Row, source: Source, responses: Sequence[str]) -> tuple[list[int], list[list[int]], bool]:
    """Token ids of the prompt and of each response, the responses cut to what maxLength leaves them."""
    messages = messages_of(row, source.prompt)
    wholes = [
        answer_token_ids(source.tokenizer, messages, response, source.prompt, source.end_ids)
        for response in responses
    ]
    start = wholes[0].completion_mask.index(1)
    end = max(start, source.training["maxLength"])
    answers = [whole.input_ids[start:end] for whole in wholes]
    return wholes[0].input_ids[:start], answers, any(len(whole.input_ids) > end for whole in wholes)


def _check_preferred(row: Mapping[str, Any], prompt: Section) -> None:
    messages_of(row, prompt)
    chosen, rejected = preferred_of(row, prompt)
    if chosen == rejected:
        raise RowError(prompt["columns"]["rejected"], "it is the same as the better response")


def _check_judged(row: Mapping[str, Any], prompt: Section) -> None:
    messages_of(row, prompt)
    judgement_of(row, prompt)


def _check_text(row: Mapping[str, Any], prompt: Section) -> None:
    if not text_of(row, prompt).strip():
        raise RowError(prompt["columns"]["text"], "the text is empty")


OBJECTIVES = {
    "sft": Objective(check_row, _sft),
    "pretrain": Objective(_check_text, _pretrain),
    "dpo": Objective(_check_preferred, _dpo),
    "kto": Objective(_check_judged, _kto),
}
