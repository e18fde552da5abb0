"""Rows to train on, and their token ids and labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.objectives import IGNORED
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.training_data import choose_rows, load_rows, split_rows, tokenise

Config = Callable[..., JobConfig]
ROW = {"instruction": "What is the name?", "input": "", "output": "name"}


@pytest.mark.capability("validation")
@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=60),
    st.floats(0.3, 0.7),
    st.booleans(),
    st.integers(0, 3),
)
def test_split_keeps_groups_together_and_loses_no_row(
    values: list[int], fraction: float, grouped: bool, seed: int
) -> None:
    rows = [{"n": n, "group": value} for n, value in enumerate(values)]
    split = {"fraction": fraction, "groupBy": "group" if grouped else None, "seed": seed}
    groups = len(set(values)) if grouped else len(values)
    if not 0 < round(fraction * groups) < groups:
        with pytest.raises(JobError, match=r"data\.split\.fraction"):
            split_rows(rows, split)
        return
    train, validation = split_rows(rows, split)
    assert sorted([*train, *validation], key=lambda row: row["n"]) == rows
    assert (train, validation) == split_rows(rows, split)
    if grouped:
        assert not {row["group"] for row in train} & {row["group"] for row in validation}
        assert len({row["group"] for row in validation}) == round(fraction * groups)
    else:
        assert len(validation) == round(fraction * groups)


def test_group_column_must_be_there() -> None:
    with pytest.raises(JobError, match=r"data\.split\.groupBy names column target, which row 2 lacks"):
        split_rows([{"target": 1}, {}], {"fraction": 0.5, "groupBy": "target", "seed": 0})


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 3))
def test_choice_is_that_of_the_seed_in_the_order_of_the_data(total: int, limit: int, seed: int) -> None:
    rows = [{"n": n} for n in range(total)]
    chosen = choose_rows(rows, limit, seed)
    numbers = [row["n"] for row in chosen]
    assert len(numbers) == min(total, limit)
    assert numbers == sorted(set(numbers))
    assert chosen == choose_rows(rows, limit, seed)


def test_rows_are_read_split_and_limited(fine_tune: Config, report: Report, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(ROW | {"n": n}) for n in range(20)))
    data = {"split": {"fraction": 0.25, "groupBy": None, "seed": 0}}
    rows = load_rows(fine_tune(data=data, training={"maxSamples": 10}), report)
    assert (len(rows.train), len(rows.validation)) == (10, 5)


def test_loss_is_on_the_response_alone(fine_tune: Config, chat_tokenizer: Any) -> None:
    tokens = tokenise(chat_tokenizer, [ROW], fine_tune(), [chat_tokenizer.eos_token_id])
    (example,) = tokens.examples
    kept = [label for label in example["labels"] if label != IGNORED]
    assert chat_tokenizer.decode(kept) == "name<|im_end|>"
    assert example["labels"][-1] == example["input_ids"][-1] == chat_tokenizer.eos_token_id
    assert tokens.truncated == 0


def test_loss_on_all(fine_tune: Config, chat_tokenizer: Any) -> None:
    config = fine_tune(training={"lossOn": "all"})
    (example,) = tokenise(chat_tokenizer, [ROW], config, [chat_tokenizer.eos_token_id]).examples
    assert example["labels"] == example["input_ids"]


def test_long_rows_are_cut_and_counted(fine_tune: Config, chat_tokenizer: Any) -> None:
    end = [chat_tokenizer.eos_token_id]
    length = len(tokenise(chat_tokenizer, [ROW], fine_tune(), end).examples[0]["input_ids"])
    rows = [ROW, ROW | {"output": "name" * 20}, ROW | {"instruction": "name" * 90}]
    tokens = tokenise(chat_tokenizer, rows, fine_tune(training={"maxLength": length}), end)
    assert tokens.truncated == 2
    assert [len(example["labels"]) for example in tokens.examples] == [length, length]


def test_nothing_to_learn_is_refused(fine_tune: Config, chat_tokenizer: Any) -> None:
    config = fine_tune(training={"maxLength": 4})
    with pytest.raises(JobError, match=r"training\.maxLength 4; raise it"):
        tokenise(chat_tokenizer, [ROW], config, [chat_tokenizer.eos_token_id])


def test_row_that_the_template_refuses_is_named(
    fine_tune: Config, chat_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_tokenizer, "chat_template", "{{ raise_exception('too short') }}")
    with pytest.raises(JobError, match=r"row 1 of those trained on, column messages: .*too short"):
        tokenise(chat_tokenizer, [ROW], fine_tune(), [chat_tokenizer.eos_token_id])
