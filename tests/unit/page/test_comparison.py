"""Rows side by side, and how texts differ."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.page.comparison import compare, points
from llmworkflow.page.differences import MOST_WORDS, Segment, difference


def row(row_id: int, text: str | None, **more: Any) -> dict[str, Any]:
    return {"row_id": row_id, "generated_text": text, "reference": "a b", "error": None, **more}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (row(0, " a b\n"), 1.0),
        (row(0, "a c"), 0.0),
        (row(0, None, error="boom"), 0.0),
        (row(0, "a b", score_exactMatch=0.25), 0.25),
        (row(0, "a b", score_exactMatch=None), None),
        (row(0, "a b", reference=None), None),
    ],
)
def test_points_of_a_row(given: dict[str, Any], expected: float | None) -> None:
    assert points(given, "exactMatch") == expected


def test_another_metric_is_known_by_its_column_alone() -> None:
    assert points(row(0, "a b", score_tokenF1=0.5), "tokenF1") == 0.5
    assert points(row(0, "a b"), "tokenF1") is None


def test_rows_are_paired_by_their_ids_whatever_their_order() -> None:
    candidate = [row(1, "a b"), row(2, "x"), row(3, "x"), row(4, "a b"), row(5, "a b")]
    opponent = [row(4, "a b"), row(3, "y"), row(2, "a b"), row(1, "x")]
    found = compare("exactMatch", {"candidate": candidate, "base": opponent}, "base", lambda _: [], shown=1)
    assert found.counts == {"won": 1, "lost": 1, "unchanged": 2}
    assert [(item.id, item.outcome) for item in found.rows] == [
        ("2", "lost"),
        ("1", "won"),
        ("3", "unchanged"),
    ]
    assert found.unpaired == 1


def test_texts_differ_word_by_word() -> None:
    assert difference("name[a], year[2]", "name[a], year[1], esrb[E]") == [
        Segment("same", "name[a], year["),
        Segment("missing", "1"),
        Segment("added", "2"),
        Segment("same", "]"),
        Segment("missing", ", esrb[E]"),
    ]
    assert difference("", "a") == [Segment("missing", "a")]
    assert difference("a b", "a b") == [Segment("same", "a b")]


def test_long_texts_are_shown_as_they_are() -> None:
    long = "a " * MOST_WORDS
    assert difference(long, "b") == [Segment("same", long)]
