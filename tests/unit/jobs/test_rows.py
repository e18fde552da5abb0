"""Which rows a batch takes, and what is written about each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs, parquet

from llmworkflow_jobs import rows
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import encoder
from llmworkflow_jobs.rows import Answer, Request

ALL: dict[str, Any] = {"limit": None, "seed": 0, "idColumn": None}
PROMPT = {
    "format": "alpaca",
    "columns": {"instruction": "instruction", "input": "input", "output": "output"},
    "chatTemplateKwargs": {},
}
SOURCE = "volume:test.jsonl"
ROW = {"instruction": "name", "input": "what", "output": "inform"}
REQUEST = Request(7, ROW, [{"role": "user", "content": "name\nwhat"}], [1, 2, 3], "inform")


@given(st.integers(1, 200), st.integers(1, 300), st.integers(0, 5))
def test_limit_draws_distinct_rows_in_order_and_always_the_same(total: int, limit: int, seed: int) -> None:
    data = [{"n": n} for n in range(total)]
    spec = ALL | {"limit": limit, "seed": seed}
    chosen = rows.select(data, spec)
    ids = [row_id for row_id, _ in chosen]
    assert len(ids) == min(limit, total)
    assert ids == sorted(set(ids))
    assert all(row["n"] == row_id for row_id, row in chosen)
    assert rows.select(data, spec) == chosen


def test_ids_come_from_their_column() -> None:
    assert rows.select([{"key": "b"}, {"key": "a"}], ALL | {"idColumn": "key"}) == [
        ("b", {"key": "b"}),
        ("a", {"key": "a"}),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([{"key": "a"}, {"key": "a"}], "rows 1 and 2 have the same key, 'a'"),
        ([{"key": None}], "row 1: idColumn key is None"),
        ([{}], "row 1: idColumn key is None"),
    ],
)
def test_ids_must_be_there_and_unique(data: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        rows.select(data, ALL | {"idColumn": "key"})
    assert caught.value.reason == "DataInvalid"


def test_a_bad_row_gets_an_error_and_the_others_a_request(chat_tokenizer: Any) -> None:
    good, bad = rows.ask(
        [(0, ROW), (1, {"input": "what"})],
        PROMPT,
        encoder(chat_tokenizer, PROMPT),
        with_reference=True,
        source=SOURCE,
    )
    assert good.error is None
    assert good.reference == "inform"
    assert chat_tokenizer.decode(good.token_ids).endswith("<|im_start|>assistant\n")
    assert bad.token_ids == []
    assert bad.error is not None
    assert "instruction" in bad.error


@pytest.mark.parametrize(
    ("row", "reason", "column"),
    [
        ({"question": "what"}, "ColumnMissing", "instruction"),
        ({"instruction": "name", "input": "what"}, "ColumnMissing", "output"),
        ({"instruction": 3, "output": "inform"}, "DataInvalid", "instruction"),
    ],
)
def test_rows_that_all_fail_the_same_way_are_wrong_columns(
    chat_tokenizer: Any, row: dict[str, Any], reason: str, column: str
) -> None:
    with pytest.raises(JobError, match=f"{SOURCE}, row 0, column {column}") as caught:
        rows.ask(
            [(0, row), (1, row)], PROMPT, encoder(chat_tokenizer, PROMPT), with_reference=True, source=SOURCE
        )
    assert caught.value.reason == reason


def test_no_reference_is_needed_where_nothing_is_scored(chat_tokenizer: Any) -> None:
    (request,) = rows.ask(
        [(0, {"instruction": "name"})],
        PROMPT,
        encoder(chat_tokenizer, PROMPT),
        with_reference=False,
        source=SOURCE,
    )
    assert (request.reference, request.error) == (None, None)


@pytest.mark.capability("row-figures")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("inform", [4, 5], 0.5), ("inform", 2, False, None)),
        (Answer("inform", [4, 5, 6], 0.5), ("inform", 3, True, None)),
        (Answer("", [], -1.0, "too long"), (None, 0, False, "too long")),
        (None, (None, 0, False, "the engine gave no answer")),
    ],
)
def test_result_says_what_became_of_a_row(answer: Answer | None, expected: tuple[Any, ...]) -> None:
    row = rows.result(REQUEST, answer, ["input"], max_tokens=3)
    assert tuple(row) == ("input", *rows.RESULT_COLUMNS)
    assert (row["row_id"], row["input"], row["num_input_tokens"]) == (7, "what", 3)
    found = (row["generated_text"], row["num_generated_tokens"], row["truncated"], row["error"])
    assert found == expected


@pytest.mark.capability("sampling-by-row")
@pytest.mark.parametrize(
    ("keep", "expected"),
    [(None, ["instruction", "input", "output", "extra"]), (["input"], ["input"]), ([], [])],
)
def test_kept_columns(keep: list[str] | None, expected: list[str]) -> None:
    assert rows.kept_columns([ROW, {"extra": 1}], keep) == expected


@pytest.mark.parametrize(
    ("data", "keep", "reason"),
    [
        ([ROW], ["inputs"], "ColumnMissing"),
        ([{"error": 1}], None, "OptionInvalid"),
        ([{"error": 1}], ["error"], "OptionInvalid"),
    ],
)
def test_columns_that_cannot_be_kept(data: list[dict[str, Any]], keep: list[str] | None, reason: str) -> None:
    with pytest.raises(JobError) as caught:
        rows.kept_columns(data, keep)
    assert caught.value.reason == reason


def results(*answers: Answer | None) -> list[dict[str, Any]]:
    return [rows.result(REQUEST, answer, ["input"], max_tokens=3) for answer in answers]


def test_both_formats_hold_the_same(tmp_path: Path) -> None:
    written = results(Answer("ünïcode\u2028", [4], 0.5), Answer("", [], -1.0, "too long"))
    for format in ("parquet", "jsonl"):
        rows.write(written, format, fs.LocalFileSystem(), str(tmp_path))
    lines = (tmp_path / "part-00000.jsonl").read_text().rstrip("\n").split("\n")
    assert [json.loads(line) for line in lines] == written
    assert parquet.read_table(tmp_path / "part-00000.parquet").to_pylist() == written


def test_columns_have_their_types_even_if_every_row_failed(tmp_path: Path) -> None:
    rows.write(results(None), "parquet", fs.LocalFileSystem(), str(tmp_path))
    schema = parquet.read_schema(tmp_path / "part-00000.parquet")
    assert str(schema.field("generated_text").type) == "string"
    assert str(schema.field("generated_token_ids").type) == "list<element: int64>"


def test_a_column_of_several_types_asks_for_jsonl(tmp_path: Path) -> None:
    mixed = [row | {"input": value} for row, value in zip(results(None, None), ["a", {"b": 1}], strict=True)]
    with pytest.raises(JobError, match=r"output\.format: jsonl"):
        rows.write(mixed, "parquet", fs.LocalFileSystem(), str(tmp_path))


@pytest.mark.parametrize("turns", [[], [Answer("first", [4], 0.1)]])
def test_earlier_answers_are_a_column_where_there_are_turns(tmp_path: Path, turns: list[Answer]) -> None:
    also = [rows.EARLIER_ANSWERS]
    last = Answer("last", [5, 6], 0.1, turns=turns)
    results = [rows.result(REQUEST, answer, [], 16, also) for answer in (last, None)]
    rows.write(results, "parquet", fs.LocalFileSystem(), str(tmp_path))
    assert parquet.read_table(tmp_path).to_pylist() == results
    assert results[0]["earlier_answers"] == [turn.text for turn in turns]
    assert results[0]["num_generated_tokens"] == 2 + len(turns)
    with pytest.raises(JobError, match="earlier_answers"):
        rows.kept_columns([{"earlier_answers": 1}], None, also=also)
