"""Several rows in one sequence, so that no computation goes into padding."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain

from llmworkflow_jobs.objectives import Example


def pack(examples: Sequence[Example], length: int, seed: int) -> list[Example]:
    """Sequences of at most `length` tokens, each of several whole rows, whose lengths are in `seq_lengths`.

    Rows come in random order, and each goes where it leaves the least space. Longest first, as is usual, fills them
    hardly better, but puts rows of like length together, so that a step of few sequences sees few kinds of rows.
    """
    sequences: list[list[Example]] = []
    by_space: defaultdict[int, list[list[Example]]] = defaultdict(list)
    spaces = 0  # bit n says whether some sequence has space for n tokens more
    for example in random.Random(seed).sample(examples, len(examples)):
        size = len(example["input_ids"])
        if fitting := spaces >> size:
            space = size + (fitting & -fitting).bit_length() - 1
            sequence = by_space[space].pop()
            spaces ^= 0 if by_space[space] else 1 << space
        else:
            space, sequence = length, []
            sequences.append(sequence)
        sequence.append(example)
        by_space[space - size].append(sequence)
        spaces |= 1 << space - size
    return [_joined(rows) for rows in sequences]


def _joined(rows: Sequence[Example]) -> Example:
    return {
        "input_ids": list(chain.from_iterable(row["input_ids"] for row in rows)),
        "labels": list(chain.from_iterable(row["labels"] for row in rows)),
        "seq_lengths": [len(row["input_ids"]) for row in rows],
    }
