"""The counting of rows that failed, and which interval a score has."""

from __future__ import annotations

import pytest

from llmworkflow_jobs import intervals
from llmworkflow_jobs.evaluate import Score, evaluate, group_of
from llmworkflow_jobs.metrics import Scored, resolve


def score(rows: list[Scored], name: str = "exactMatch") -> Score:
    return evaluate(rows, resolve({"metrics": [name]}), 0)[name].score


@pytest.mark.capability("metrics")
def test_failed_and_unmatched_rows_count_as_zero() -> None:
    rows = [
        Scored("a", "a"),
        Scored("b", "a", truncated=True),
        Scored(None, "a"),
        Scored("a", None),
    ]
    found = score(rows)
    assert (found.value, found.n, found.errors, found.truncated, found.missing) == (0.25, 4, 1, 1, 1)
    assert (found.low, found.high) == intervals.wilson(0.25, 4)


def test_an_answer_alone_misses_no_reference() -> None:
    found = score([Scored("a", None), Scored("{}", None)], "jsonValid")
    assert (found.value, found.missing) == (0.5, 0)


def test_shares_of_a_point_are_resampled() -> None:
    rows = [Scored("name of it", "name it"), Scored("year", "name")] * 20
    found = score(rows, "tokenF1")
    assert found.value == pytest.approx(0.4)
    assert (found.low, found.high) == intervals.bootstrap([0.8, 0.0] * 20, None, 0, 0.95)


@pytest.mark.capability("metrics")
def test_rows_of_a_group_are_one_draw() -> None:
    alone = [Scored(text, "a") for text in "ab" * 50]
    together = [Scored(text, "a", group=str(n // 2 % 10)) for n, text in enumerate("aabb" * 25)]
    narrow, wide = score(alone), score(together)
    assert narrow.value == wide.value == 0.5
    assert None not in (narrow.low, wide.low)
    assert (wide.low or 0) < (narrow.low or 0) - 0.1


def test_groups_are_values_of_any_kind_and_a_row_without_one_is_its_own() -> None:
    assert group_of({"target": ["x"]}, 3, "target") == group_of({"target": ["x"]}, 4, "target")
    assert group_of({"target": 1}, 3, "target") != group_of({"target": "1"}, 4, "target")
    for lacking in ({}, {"target": None}, {"target": ""}):
        assert group_of(lacking, 3, "target") != group_of(lacking, 4, "target")
    assert group_of({"target": 1}, 3, None) is None


def test_no_rows_say_nothing() -> None:
    found = score([])
    assert (found.value, found.low, found.high, found.n) == (0.0, 0.0, 1.0, 0)
