"""How sure a mean over rows is: Wilson's interval for proportions, and the bootstrap for everything else."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

CONFIDENCE = 0.95

RESAMPLES = 2_000  # what this leaves to chance in the ends of an interval is a fiftieth of its width
_DRAWN_AT_ONCE = 4_000_000  # numbers; bounds the memory
_FEW = 20  # times dearer is it to draw how often a kind occurs than to draw one cluster

Interval = tuple[float, float]


def of_mean(points: Sequence[float], groups: Sequence[Hashable] | None, seed: int) -> Interval:
    """Bounds of the 95 % interval of the mean of `points`; (0, 1) for none.

    Points of 0 and 1 that are independent have Wilson's. So have those that are all alike, over as many draws as there
    are groups, as the bootstrap sees no spread in them. All others are resampled; one draw tells nothing of others.
    """
    draws = len(points) if groups is None else len(set(groups))
    proportion = set(points) <= {0.0, 1.0}
    alike = len(set(points)) < 2
    if not points or (proportion and (groups is None or alike)):
        return wilson(points[0] if alike and points else sum(points) / max(1, len(points)), draws)
    if draws == 1:
        return min(0.0, *points), max(1.0, *points)
    return bootstrap(points, groups, seed, CONFIDENCE)


def wilson(value: float, n: int) -> Interval:
    """Bounds of the 95 % interval of a proportion `value` of `n` rows; (0, 1) for no rows.

    Wilson's score interval (E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference,
    Journal of the American Statistical Association 22, 1927, 209-212). It stays within 0 and 1 and keeps its coverage
    near both ends, where tuned models end up.
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    shrink = 1 + z**2 / n
    centre = (value + z**2 / (2 * n)) / shrink
    margin = z / shrink * (value * (1 - value) / n + z**2 / (4 * n**2)) ** 0.5
    # At 0 and 1 the interval ends there, which rounding would miss by a hair.
    return (centre - margin if value > 0 else 0.0), (centre + margin if value < 1 else 1.0)


def of_difference(
    differences: Sequence[float], groups: Sequence[Hashable] | None, seed: int, confidence: float
) -> Interval:
    """Bounds of the interval of the mean of what candidate and incumbent differ by on the same rows.

    The paired bootstrap (P. Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004): rows
    are resampled with both their scores, so that what makes a row hard for both is no noise.

    Resampling knows only the differences that were met. Where so few rows (or groups) differ that chance could have
    turned them all one way, which it does with probability 2^(1-m) for m of them (the two-sided sign test), the
    interval is widened to hold 0.
    """
    low, high = bootstrap(differences, groups, seed, confidence)
    keys = groups if groups is not None else range(len(differences))
    differ = len({key for key, difference in zip(keys, differences, strict=True) if difference})
    if 2.0 ** (1 - differ) > 1 - confidence:
        return min(low, 0.0), max(high, 0.0)
    return low, high


def bootstrap(
    points: Sequence[float], groups: Sequence[Hashable] | None, seed: int, confidence: float
) -> Interval:
    """Bounds of the two-sided percentile interval of the mean of `points`, the same ones for the same seed.

    B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. With `groups`, whole groups are
    drawn (the cluster bootstrap: C. A. Field and A. H. Welsh, Bootstrapping Clustered Data, Journal of the Royal
    Statistical Society B 69, 2007, 369-390), since rows of one group are no independent evidence.
    """
    clusters = np.stack(_clusters(points, groups), axis=1)
    kinds, counts = np.unique(clusters, axis=0, return_counts=True)
    draw = _draw_kinds if _FEW * len(kinds) <= len(clusters) else _draw_each
    drawn = draw(kinds, counts, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [tail, 1 - tail])
    return float(low), float(high)


def _draw_each(kinds: Any, counts: Any, generator: np.random.Generator) -> Any:
    """Sums over each resample, drawn cluster by cluster."""
    clusters = np.repeat(kinds, counts, axis=0)
    at_once = max(1, _DRAWN_AT_ONCE // len(clusters))
    sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    draws = (generator.integers(len(clusters), size=(size, len(clusters))) for size in sizes)
    columns = [np.ascontiguousarray(column) for column in clusters.T]
    return np.concatenate(
        [np.stack([column[index].sum(axis=1) for column in columns], axis=1) for index in draws]
    )


def _draw_kinds(kinds: Any, counts: Any, generator: np.random.Generator) -> Any:
    """The same where few kinds of clusters occur, as of a metric of 0 and 1: a million rows take no time then."""
    return generator.multinomial(counts.sum(), counts / counts.sum(), size=RESAMPLES) @ kinds


def _clusters(points: Sequence[float], groups: Sequence[Hashable] | None) -> tuple[Any, Any]:
    """Sum and number of the points of each group, in an order that does not depend on that of the rows."""
    values = np.asarray(points, dtype=float)
    if groups is None:
        return values, np.ones(len(values))
    number: dict[Hashable, int] = {}
    index = [number.setdefault(group, len(number)) for group in groups]
    return np.bincount(index, weights=values), np.bincount(index).astype(float)
