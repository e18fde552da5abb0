"""Scores of a batch: every row counts, and one that failed or has nothing to be compared with counts as 0."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from llmworkflow_jobs.metrics import METRICS

# Quantile of the standard normal distribution for a two-sided interval of 95 %.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Scored:
    """What a row contributes.

    The generated text is None if the row failed, the reference is None if it has none; `truncated` says that generation
    stopped at the limit of tokens.
    """

    generated: str | None
    reference: str | None
    truncated: bool = False


@dataclass(frozen=True)
class Score:
    """A metric over `n` rows: its mean with the bounds of the 95 % interval, and counts of rows.

    `errors` are rows that failed, `truncated` those cut at the limit of tokens, `missing` those without a reference.
    """

    value: float
    low: float
    high: float
    n: int
    errors: int
    truncated: int
    missing: int


def evaluate(rows: Sequence[Scored], metrics: Iterable[str]) -> dict[str, Score]:
    """Score of each metric over all rows. Metrics are names of METRICS."""
    return {name: _score(rows, name) for name in metrics}


def wilson_interval(value: float, n: int) -> tuple[float, float]:
    """Bounds of the 95 % interval of a proportion `value` of `n` rows; (0, 1) for no rows.

    Wilson's score interval (E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
    Journal of the American Statistical Association 22, 1927, 209-212). It stays within 0 and 1 and keeps its coverage
    near both ends, where tuned models end up.
    """
    if n == 0:
        return 0.0, 1.0
    shrink = 1 + _Z**2 / n
    centre = (value + _Z**2 / (2 * n)) / shrink
    margin = _Z / shrink * math.sqrt(value * (1 - value) / n + _Z**2 / (4 * n**2))
    # At 0 and 1 the interval ends there, which rounding would miss by a hair.
    return (centre - margin if value > 0 else 0.0), (centre + margin if value < 1 else 1.0)


def _score(rows: Sequence[Scored], metric: str) -> Score:
    total = math.fsum(_points(row, metric) for row in rows)
    value = total / len(rows) if rows else 0.0
    low, high = wilson_interval(value, len(rows))
    return Score(
        value=value,
        low=low,
        high=high,
        n=len(rows),
        errors=sum(row.generated is None for row in rows),
        truncated=sum(row.truncated for row in rows),
        missing=sum(row.reference is None for row in rows),
    )


def _points(row: Scored, metric: str) -> float:
    if row.generated is None or row.reference is None:
        return 0.0
    return METRICS[metric](row.generated, row.reference)
