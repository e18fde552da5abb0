"""The rows to train on and to validate with, and their token ids and labels."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row, read_rows
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.objectives import OBJECTIVES, Example, Source
from llmworkflow_jobs.prompt import RowError
from llmworkflow_jobs.report import Report


@dataclass(frozen=True)
class TrainingRows:
    """Checked rows, not tokenised yet."""

    train: list[Row]
    validation: list[Row]


@dataclass(frozen=True)
class Tokenised:
    """What the objective makes of the rows, and how many rows were longer than maxLength."""

    examples: list[Example]
    truncated: int


def load_rows(config: JobConfig, report: Report) -> TrainingRows:
    """Read, check, split and limit the rows.

    Raises what `read_rows` raises, and OptionInvalid for a split that leaves one side empty.
    """
    data, training = config.section["data"], config.section["training"]
    objective = OBJECTIVES[config.section["objective"]]

    def check(row: Mapping[str, Any]) -> None:
        objective.check(row, config.prompt)

    train = read_rows(data["train"], config, report, check)
    validation = read_rows(data["validation"] or [], config, report, check)
    if data["split"]:
        train, validation = split_rows(train, data["split"])
    return TrainingRows(choose_rows(train, training["maxSamples"], training["seed"]), validation)


def choose_rows(rows: Sequence[Row], limit: int | None, seed: int) -> list[Row]:
    """At most `limit` of the rows, chosen by the seed, in the order that they have."""
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[index] for index in sorted(random.Random(seed).sample(range(len(rows)), limit))]


def split_rows(rows: Sequence[Row], split: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
    """Rows to train on and, `split.fraction` of them, to validate with.

    Rows that agree in column `split.groupBy` stay on one side, and the fraction is of the groups: else
    near-duplicates of training rows would be validated with, and the loss be flattering.
    """
    keys = [_group(row, split["groupBy"], index) for index, row in enumerate(rows)]
    groups = sorted(set(keys))
    chosen = set(random.Random(split["seed"]).sample(groups, round(split["fraction"] * len(groups))))
    train = [row for row, key in zip(rows, keys, strict=True) if key not in chosen]
    validation = [row for row, key in zip(rows, keys, strict=True) if key in chosen]
    if not train or not validation:
        raise JobError(
            "OptionInvalid",
            f"data.split.fraction {split['fraction']} of {len(groups)} rows or groups leaves {len(train)} rows "
            f"to train on and {len(validation)} to validate with; change it, or give data.validation",
        )
    return train, validation


def tokenise(tokenizer: Any, rows: Sequence[Row], config: JobConfig, end_ids: Collection[int]) -> Tokenised:
    """Token ids and labels of all rows, cut to training.maxLength; rows with nothing left to learn are left out."""
    objective = OBJECTIVES[config.section["objective"]]
    source = Source(tokenizer, config.prompt, end_ids, config.section["training"])
    examples, truncated = [], 0
    for number, row in enumerate(rows, start=1):
        try:
            found, cut = objective.examples(row, source)
        except RowError as error:  # the mapping was checked before: what is left is the chat template
            raise JobError("DataInvalid", f"row {number} of those trained on, {error}") from error
        examples += found
        truncated += cut
    if rows and not examples:
        raise JobError(
            "DataInvalid",
            "the prompt of every row is longer than training.maxLength "
            f"{source.training['maxLength']}; raise it",
        )
    return Tokenised(examples, truncated)


def _group(row: Mapping[str, Any], column: str | None, index: int) -> str:
    if column is None:
        return f"{index:012}"
    if column not in row:
        raise JobError(
            "ColumnMissing", f"data.split.groupBy names column {column}, which row {index + 1} lacks"
        )
    return json.dumps(row[column], sort_keys=True, default=str)
