"""Scores of a batch: every row counts, and one that failed or has nothing to be compared with counts as 0."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from llmworkflow_jobs import intervals
from llmworkflow_jobs.metrics import Metric, Scored
from llmworkflow_jobs.own_metric import MetricError, number


@dataclass(frozen=True)
class Score:
    """A metric over `n` rows: its mean with the bounds of the 95 % interval, and counts of rows.

    `errors` are rows that failed, `truncated` those cut at the limit of tokens, `missing` those that were answered and
    lack the reference that the metric compares with. Without a value, `message` says why there is none.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    errors: int
    truncated: int
    missing: int
    message: str = ""


@dataclass(frozen=True)
class Evaluation:
    """A metric of a batch, and the points of each row; none where the metric failed."""

    score: Score
    points: list[float] | None


def evaluate(rows: Sequence[Scored], metrics: Mapping[str, Metric], seed: int) -> dict[str, Evaluation]:
    """Each metric over all rows; `seed` is that of the bootstrap."""
    return {name: _evaluate(rows, name, metric, seed) for name, metric in metrics.items()}


def points(rows: Sequence[Scored], metric: Metric) -> list[float]:
    """The metric of every row. Raises MetricError if it has no number for one of them."""
    return [_points(row, metric) for row in rows]


def groups(rows: Sequence[Scored]) -> list[str] | None:
    """The group of each row, or None where each stands for itself."""
    found = [row.group for row in rows if row.group is not None]
    return found or None


def group_of(row: Mapping[str, Any], row_id: str | int, column: str | None) -> str | None:
    """What a row shares with others by its value in column `evaluate.groupBy`; without one it stands for itself."""
    if column is None:
        return None
    value = row.get(column)
    if value is None or value == "":  # as Parquet and CSV have what a row lacks
        return f"row {row_id}"
    return json.dumps(value, sort_keys=True, default=str)


def _evaluate(rows: Sequence[Scored], name: str, metric: Metric, seed: int) -> Evaluation:
    try:
        found = points(rows, metric)
    except MetricError as error:
        return Evaluation(_score(rows, metric, (None, None, None), f"metric {name} failed: {error}"), None)
    value = math.fsum(found) / len(rows) if rows else 0.0
    bounds = intervals.of_mean(found, groups(rows), seed)
    return Evaluation(_score(rows, metric, (value, *bounds)), found)


def _score(
    rows: Sequence[Scored],
    metric: Metric,
    numbers: tuple[float | None, float | None, float | None],
    message: str = "",
) -> Score:
    answered = [row for row in rows if row.generated is not None]
    return Score(
        *numbers,
        n=len(rows),
        errors=len(rows) - len(answered),
        truncated=sum(row.truncated for row in rows),
        missing=sum(metric.compares and row.reference is None for row in answered),
        message=message,
    )


def _points(row: Scored, metric: Metric) -> float:
    if row.generated is None or (metric.compares and row.reference is None):
        return 0.0
    return number(partial(metric.score, row), f"row {row.row_id}") if metric.own else float(metric.score(row))
