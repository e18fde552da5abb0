"""Rows of a person's own, split for the demo."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

SEED = 0
HELD_OUT_PARTS = {"test": 0.1, "validation": 0.1}  # of the responses; the rest trains
SHAPE = "write a JSON object a line, with the texts instruction, output and, where there is one, input"

Row = dict[str, Any]


class DataError(ValueError):
    """Rows that the demo cannot use; says which, and what to do."""


def split(file: Path, folder: Path) -> None:
    """Write train.jsonl, validation.jsonl and test.jsonl from the alpaca rows of a file.

    Rows with the same response stay together: paraphrases on both sides would make the score a test of memory.

    Raises:
        DataError: a line is no such row, or there are too few different responses.
    """
    rows = list(_rows(file))
    order = sorted({row["output"] for row in rows})
    if len(order) <= len(HELD_OUT_PARTS):
        raise DataError(
            f"{file}: has {len(order)} different outputs, which cannot be shared by train, validation and test; "
            f"give {len(HELD_OUT_PARTS) + 1} or more"
        )
    Random(SEED).shuffle(order)
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    for name, part in HELD_OUT_PARTS.items():
        count = max(1, round(part * len(order)))
        _write(folder / f"{name}.jsonl", rows, set(order[taken : taken + count]))
        taken += count
    _write(folder / "train.jsonl", rows, set(order[taken:]))


def _rows(file: Path) -> Iterator[Row]:
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(f"{file}:{number}: is no JSON in UTF-8; {SHAPE}") from error
            if wrong := _wrong(row):
                raise DataError(f"{file}:{number}: {wrong}; {SHAPE}")
            yield row


def _wrong(row: Any) -> str:
    """What is wrong with a row; nothing where it is right."""
    if not isinstance(row, dict):
        return "is no object"
    for column in ("instruction", "output"):
        if not isinstance(row.get(column), str):
            return f"{column} is no text" if column in row else f"has no {column}"
    return "" if isinstance(row.get("input"), str | None) else "input is no text"


def _write(path: Path, rows: list[Row], chosen: set[str]) -> None:
    kept = [json.dumps(row) for row in rows if row["output"] in chosen]
    path.write_text("".join(f"{row}\n" for row in kept), encoding="utf-8")
