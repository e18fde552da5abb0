"""What each objective makes of a row, and the rows that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.objectives import OBJECTIVES
from llmworkflow_jobs.prompt import RowError, messages_of, prompt_token_ids
from llmworkflow_jobs.training_data import Tokenised, tokenise

Config = Callable[..., JobConfig]
ASKED = {"instruction": "What is the name?", "input": "Portal"}
PAIR = ASKED | {"chosen": "name", "rejected": "Portal is the name"}
JUDGED = ASKED | {"output": "name", "label": True}


@pytest.fixture
def tokens(fine_tune: Config, chat_tokenizer: Any) -> Callable[..., Tokenised]:
    """A function (objective, row, **training) that returns what becomes of the row."""

    def make(objective: str, row: dict[str, Any], **training: Any) -> Tokenised:
        config = fine_tune(objective=objective, training=training)
        return tokenise(chat_tokenizer, [row], config, [chat_tokenizer.eos_token_id])

    return make


def test_a_pair_has_the_prompt_that_is_asked_and_two_whole_turns(
    tokens: Callable[..., Tokenised], fine_tune: Config, chat_tokenizer: Any
) -> None:
    (example,) = tokens("dpo", PAIR).examples
    messages = messages_of(PAIR, fine_tune().prompt)
    assert example["prompt_ids"] == prompt_token_ids(chat_tokenizer, messages)
    assert chat_tokenizer.decode(example["chosen_ids"]) == "name<|im_end|>"
    assert chat_tokenizer.decode(example["rejected_ids"]) == "Portal is the name<|im_end|>"


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": "name"},
        [{"role": "assistant", "content": "name"}],
        [{"role": "user", "content": "What is the name?"}, {"role": "assistant", "content": "name"}],
    ],
    ids=["message", "messages", "conversation"],
)
def test_responses_may_be_messages(tokens: Callable[..., Tokenised], answer: Any) -> None:
    assert tokens("dpo", PAIR | {"chosen": answer}) == tokens("dpo", PAIR)


def test_long_responses_are_cut_and_rows_with_none_left_out(tokens: Callable[..., Tokenised]) -> None:
    whole = tokens("dpo", PAIR).examples[0]
    length = len(whole["prompt_ids"]) + len(whole["chosen_ids"])
    cut = tokens("dpo", PAIR, maxLength=length)
    assert cut.truncated == 1
    assert cut.examples == [whole | {"rejected_ids": whole["rejected_ids"][: len(whole["chosen_ids"])]}]
    with pytest.raises(Exception, match="raise it"):
        tokens("dpo", PAIR, maxLength=len(whole["prompt_ids"]))


def test_a_judged_response(tokens: Callable[..., Tokenised], chat_tokenizer: Any) -> None:
    (example,) = tokens("kto", JUDGED).examples
    assert chat_tokenizer.decode(example["completion_ids"]) == "name<|im_end|>"
    assert example["label"] is True


def test_a_text_is_learned_whole_in_pieces(tokens: Callable[..., Tokenised], chat_tokenizer: Any) -> None:
    text = "What is the name? Portal is the name."
    ids = [*chat_tokenizer.encode(text, add_special_tokens=False), chat_tokenizer.eos_token_id]
    read = tokens("pretrain", {"text": text}, maxLength=5)
    pieces = [example["input_ids"] for example in read.examples]
    assert len(pieces) > 1
    assert [token for piece in pieces for token in piece] == ids
    assert all(example["labels"] == example["input_ids"] for example in read.examples)
    assert read.truncated == 0


@pytest.mark.parametrize(
    ("objective", "row", "message"),
    [
        ("dpo", ASKED | {"chosen": "a"}, "column rejected: there is no such column"),
        ("dpo", ASKED | {"chosen": "a", "rejected": "a"}, "column rejected: it is the same"),
        ("dpo", PAIR | {"chosen": [{"role": "user", "content": "a"}]}, "is of the user, not the assistant"),
        ("dpo", PAIR | {"chosen": 3}, "column chosen: expected an object"),
        ("kto", JUDGED | {"label": "good"}, "column label: expected true or false, found 'good'"),
        ("kto", ASKED | {"label": True}, "column output"),
        ("pretrain", {"text": " "}, "column text: the text is empty"),
        ("pretrain", ASKED, "column text: there is no such column"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    fine_tune: Config, objective: str, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(RowError, match=message):
        OBJECTIVES[objective].check(row, fine_tune().prompt)
