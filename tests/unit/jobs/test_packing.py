"""Packing: whole rows in few sequences, in a random mix."""

import random
from statistics import fmean, pstdev
from typing import Any

from llmworkflow_jobs.packing import pack

LENGTH = 2048


def examples(count: int) -> list[dict[str, Any]]:
    """Rows as long as those of ViGGO with an instruction, each of a token that is its own."""
    sizes = random.Random(0)
    rows = [[number] * sizes.randint(260, 380) for number in range(count)]
    return [{"input_ids": row, "labels": [-100, *row[1:]]} for row in rows]


def rows_of(sequence: dict[str, Any]) -> list[list[int]]:
    ids = iter(sequence["input_ids"])
    return [[next(ids) for _ in range(size)] for size in sequence["seq_lengths"]]


def test_each_row_is_in_one_sequence_as_it_was() -> None:
    rows = examples(200)
    packed = pack(rows, LENGTH, seed=0)
    found = [row for sequence in packed for row in rows_of(sequence)]
    assert sorted(found) == [row["input_ids"] for row in rows]
    for sequence in packed:
        assert len(sequence["labels"]) == len(sequence["input_ids"]) <= LENGTH
        assert sequence["labels"] == [label for row in rows_of(sequence) for label in (-100, *row[1:])]


def test_sequences_are_nearly_as_few_as_the_tokens_fill() -> None:
    rows = examples(1280)
    tokens = sum(len(row["input_ids"]) for row in rows)
    assert len(pack(rows, LENGTH, seed=0)) < 1.07 * tokens / LENGTH


def test_a_sequence_has_rows_of_all_lengths() -> None:
    """As many rows drawn at random differ as much: were like lengths put together, they would differ by a tenth."""
    rows = examples(1280)
    spread = pstdev(len(row["input_ids"]) for row in rows)
    within = fmean(pstdev(sequence["seq_lengths"]) for sequence in pack(rows, LENGTH, seed=0))
    assert within > 0.8 * spread


def test_a_full_row_stands_alone() -> None:
    rows = [{"input_ids": [1] * 8, "labels": [1] * 8}, {"input_ids": [2] * 3, "labels": [2] * 3}]
    assert sorted(sequence["seq_lengths"] for sequence in pack(rows, 8, seed=0)) == [[3], [8]]


def test_the_seed_decides_what_meets() -> None:
    rows = examples(40)
    assert pack(rows, LENGTH, seed=1) == pack(rows, LENGTH, seed=1) != pack(rows, LENGTH, seed=2)


def test_many_rows_are_packed_at_once() -> None:
    """Without a search among sequences: a bit for each space tells where there is some."""
    rows = [{"input_ids": [0] * size, "labels": [0] * size} for size in range(1, 101)] * 200
    packed = pack(rows, 128, seed=0)
    assert sum(len(sequence["input_ids"]) for sequence in packed) == 200 * 5050
