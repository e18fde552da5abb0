"""Intervals hold what they promise, and are the same ones each time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow_jobs import intervals

POINTS = [0.0, 0.25, 0.5, 1.0, 1.0, 0.1] * 5


# R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_interval_of_proportions_is_wilsons(successes: int, n: int, low: float, high: float) -> None:
    points = [1.0] * successes + [0.0] * (n - successes)
    assert intervals.of_mean(points, None, 0) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_value_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = intervals.wilson(successes / n, n)
    assert 0 <= low <= successes / n <= high <= 1
    mirrored_low, mirrored_high = intervals.wilson((n - successes) / n, n)
    assert (mirrored_low, mirrored_high) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_bootstrap_is_that_of_the_seed_whatever_the_order() -> None:
    found = intervals.bootstrap(POINTS, None, 3, 0.95)
    assert found == intervals.bootstrap(sorted(POINTS), None, 3, 0.95)
    assert found != intervals.bootstrap(POINTS, None, 4, 0.95)
    groups = [str(n % 7) for n in range(len(POINTS))]
    shuffled = random.Random(0).sample(list(zip(POINTS, groups, strict=True)), len(POINTS))
    assert intervals.bootstrap(POINTS, groups, 3, 0.95) == pytest.approx(
        intervals.bootstrap([point for point, _ in shuffled], [group for _, group in shuffled], 3, 0.95)
    )


def test_bootstrap_is_as_wide_as_theory_has_it() -> None:
    points = list(np.random.default_rng(0).normal(5, 2, 400))
    low, high = intervals.bootstrap(points, None, 0, 0.95)
    error = np.std(points) / len(points) ** 0.5
    assert (low, high) == pytest.approx(
        (np.mean(points) - 1.96 * error, np.mean(points) + 1.96 * error), abs=0.02
    )
    surer = intervals.bootstrap(points, None, 0, 0.99)
    assert surer[0] < low < high < surer[1]


def test_bootstrap_covers_the_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        groups = np.repeat(np.arange(40), 5)
        # Alike within a group; their mean is 1/4.
        points = generator.random(40)[groups] * generator.random(200)
        low, high = intervals.bootstrap(points.tolist(), groups.tolist(), seed, 0.9)
        hits += low <= 0.25 <= high
    assert 0.82 <= hits / 100 <= 0.96


def test_copies_of_rows_add_nothing_where_they_are_grouped() -> None:
    groups = [n // 10 for n in range(10 * len(POINTS))]
    copied = [point for point in POINTS for _ in range(10)]
    once = intervals.bootstrap(POINTS, None, 0, 0.95)
    assert intervals.bootstrap(copied, groups, 0, 0.95) == pytest.approx(once)


@pytest.mark.parametrize(("groups", "draws"), [(None, 40), ([n % 8 for n in range(40)], 8)])
def test_rows_that_are_all_right_leave_as_much_doubt_as_there_are_draws(
    groups: list[int] | None, draws: int
) -> None:
    assert intervals.of_mean([1.0] * 40, groups, 0) == intervals.wilson(1.0, draws)


def test_one_draw_tells_nothing_of_others() -> None:
    assert intervals.of_mean([1.0, 0.0, 1.0, 1.0], ["g"] * 4, 0) == (0.0, 1.0)
    assert intervals.of_mean([0.9], None, 0) == (0.0, 1.0)
    assert intervals.of_mean([-3.0], None, 0) == (-3.0, 1.0)


def difference(better: int, worse: int, same: int, confidence: float = 0.95) -> tuple[float, float]:
    return intervals.of_difference([1.0] * better + [-1.0] * worse + [0.0] * same, None, 0, confidence)


def test_equals_do_not_differ() -> None:
    assert difference(0, 0, 200) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("better", "worse", "same", "sure"),
    [(10, 10, 180, False), (12, 8, 180, False), (20, 4, 176, True), (4, 20, 176, False), (150, 0, 50, True)],
)
def test_better_is_what_cannot_be_chance(better: int, worse: int, same: int, sure: bool) -> None:
    assert (difference(better, worse, same)[0] > 0) == sure


@pytest.mark.parametrize(
    ("rows", "confidence", "sure"), [(5, 0.95, False), (6, 0.95, True), (7, 0.99, False), (8, 0.99, True)]
)
def test_few_rows_prove_nothing_even_if_all_agree(rows: int, confidence: float, sure: bool) -> None:
    assert (difference(rows, 0, 0, confidence)[0] > 0) == sure
    assert (difference(0, rows, 0, confidence)[1] < 0) == sure


def test_equal_models_seldom_pass_for_better() -> None:
    generator = random.Random(0)
    passed = 0
    for seed in range(100):
        rows = [generator.choice([0.0, 0.0, 0.0, 1.0, -1.0]) for _ in range(100)]
        passed += intervals.of_difference(rows, None, seed, 0.95)[0] > 0
    assert passed / 100 <= 0.05
