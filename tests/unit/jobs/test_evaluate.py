"""Scores, intervals and the counting of rows that failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow_jobs import metrics
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.evaluate import Scored, evaluate, wilson_interval


@pytest.mark.parametrize(
    ("generated", "reference", "score"),
    [
        ("inform(name[Doom])", "inform(name[Doom])", 1.0),
        (" inform(name[Doom])\n", "inform(name[Doom])", 1.0),
        ("inform(name[Doom])", "inform(name[doom])", 0.0),
        ("inform( name[Doom])", "inform(name[Doom])", 0.0),
        ("inform(name[Doom]).", "inform(name[Doom])", 0.0),
        ("", "", 1.0),
    ],
)
def test_exact_match_ignores_white_space_at_the_ends_alone(
    generated: str, reference: str, score: float
) -> None:
    assert metrics.exact_match(generated, reference) == score


def test_unknown_metric_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(JobError) as caught:
        metrics.check(["exactMatch", "exactmatch"])
    assert caught.value.reason == "MetricUnknown"
    assert "did you mean exactMatch" in caught.value.message


def test_failed_and_unmatched_rows_count_as_zero() -> None:
    rows = [
        Scored("a", "a"),
        Scored("b", "a", truncated=True),
        Scored(None, "a"),
        Scored("a", None),
    ]
    score = evaluate(rows, ["exactMatch"])["exactMatch"]
    assert (score.value, score.n, score.errors, score.truncated, score.missing) == (0.25, 4, 1, 1, 1)
    assert score.low < 0.25 < score.high


# R. G. Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, 1998, method 3.
@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_interval_is_wilsons(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes / n, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_value_and_mirrors(case: tuple[int, int]) -> None:
    successes, n = case
    low, high = wilson_interval(successes / n, n)
    assert 0 <= low <= successes / n <= high <= 1
    mirrored_low, mirrored_high = wilson_interval((n - successes) / n, n)
    assert (mirrored_low, mirrored_high) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_no_rows_say_nothing() -> None:
    score = evaluate([], ["exactMatch"])["exactMatch"]
    assert (score.value, score.low, score.high, score.n) == (0.0, 0.0, 1.0, 0)
