"""Rows of a person's own, split for the demo."""

import json
from pathlib import Path
from random import Random

SEED = 0
HELD_OUT_PARTS = {"test": 0.1, "validation": 0.1}  # of the responses; the rest trains


def split(file: Path, folder: Path) -> None:
    """Write train.jsonl, validation.jsonl and test.jsonl from the alpaca rows of a file.

    Rows with the same response stay together: paraphrases on both sides would make the score a test of memory.
    """
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    responses = [json.loads(line).get("output") for line in lines]
    order = sorted(set(responses), key=str)
    Random(SEED).shuffle(order)
    folder.mkdir(parents=True, exist_ok=True)
    taken = 0
    for name, part in HELD_OUT_PARTS.items():
        count = max(1, round(part * len(order)))
        _write(folder / f"{name}.jsonl", lines, responses, set(order[taken : taken + count]))
        taken += count
    _write(folder / "train.jsonl", lines, responses, set(order[taken:]))


def _write(path: Path, lines: list[str], responses: list[str], chosen: set[str]) -> None:
    rows = [line for line, response in zip(lines, responses, strict=True) if response in chosen]
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
