"""Sampling that rows bring along, and how Arrow is given it without changing it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from llmworkflow_jobs import row_sampling
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Request

COMMON = {"temperature": 0.0, "max_tokens": 16}


def request(value: Any = None, row_id: int = 0) -> Request:
    return Request(row_id, {"how": value}, [], [1])


def own(value: Any) -> Request:
    (found,) = row_sampling.assign([request(value)], "how", "continue")
    return found


@pytest.mark.capability("sampling-by-row")
@pytest.mark.parametrize(
    ("value", "sampling"),
    [
        (None, {}),
        ("", {}),
        ({"maxTokens": 4, "topP": None}, {"max_tokens": 4}),
        ('{"stop": ["."], "temperature": 1}', {"stop": ["."], "temperature": 1}),
        ({"structured": {"choice": ["yes", "no"]}}, {"structured_outputs": {"choice": ["yes", "no"]}}),
        (
            {"structured": {"jsonSchema": {"type": "object"}, "regex": None}},
            {"structured_outputs": {"json": '{"type": "object"}'}},
        ),
    ],
)
def test_a_row_says_how_it_is_sampled(value: Any, sampling: dict[str, Any]) -> None:
    assert own(value).sampling == sampling


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("soft", "Expecting value"),
        ([1], "expected an object"),
        ({"maxToken": 4}, "maxToken is no sampling parameter of a row"),
        ({"maxTokens": 4.5}, "maxTokens is 4.5, expected a whole number"),
        ({"temperature": True}, "expected a number"),
        ({"stop": "."}, "expected a list of texts"),
        ({"structured": {"regex": "a", "choice": ["a"]}}, "an object with one of jsonSchema, regex"),
    ],
)
def test_a_row_that_says_it_wrongly_has_an_error(value: Any, problem: str) -> None:
    good, bad = row_sampling.assign([request(), request(value, 1)], "how", "continue")
    assert good.error is None
    assert bad.error is not None
    assert bad.error.startswith("column how: ")
    assert problem in bad.error
    with pytest.raises(JobError, match="row 1: column how"):
        row_sampling.assign([request(), request(value, 1)], "how", "fail")


def test_a_column_that_no_row_has() -> None:
    with pytest.raises(JobError, match=r"sampling\.column") as caught:
        row_sampling.assign([request()], "what", "continue")
    assert caught.value.reason == "ColumnMissing"


def test_rows_without_their_own_need_no_column() -> None:
    assert row_sampling.parameters([request(), request()], COMMON) is None


def test_arrow_hands_every_row_what_it_asked_for() -> None:
    values = [
        None,
        {"temperature": 1, "seed": 7, "stop": ["."]},
        {"structured": {"choice": ["yes"]}, "maxTokens": 4},
        {"structured": {"jsonSchema": {"type": "string"}}},
    ]
    each = row_sampling.parameters([own(value) for value in values], COMMON)
    assert each is not None
    through = pa.Table.from_pylist([{"sampling_params": fields} for fields in each]).to_pylist()
    plain, random, choice, schema = (row["sampling_params"] for row in through)
    assert plain == {**COMMON, "seed": None, "stop": [], "structured_outputs": None}
    assert (random["temperature"], random["seed"], random["stop"]) == (1.0, 7, ["."])
    assert choice["max_tokens"] == 4
    assert choice["structured_outputs"] == {"choice": ["yes"], "json": None}
    assert json.loads(schema["structured_outputs"]["json"]) == {"type": "string"}
