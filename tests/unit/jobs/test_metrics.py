"""What each metric counts, to the letter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from llmworkflow.api.metrics import EVALUATION_METRICS, REFERENCE_METRICS
from llmworkflow_jobs import metrics, own_metric
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.evaluate import evaluate
from llmworkflow_jobs.metrics import Scored


@pytest.mark.capability("metrics")
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


@pytest.mark.capability("metrics")
@pytest.mark.parametrize(
    ("generated", "reference", "score"),
    [
        ("the Broncos of Denver", "Denver Broncos", 0.8),  # 2 of 3 words, 2 of 2
        ("Denver, Broncos!", "an denver  broncos", 1.0),
        ("Denver Denver", "Denver", 2 / 3),  # a word counts as often as it occurs
        ("Seattle", "Denver Broncos", 0.0),
        ("the", "a", 1.0),  # neither has a word left
        ("the", "Denver", 0.0),
        ("it's 5-3", "its 53", 1.0),  # punctuation is deleted, not replaced
        ("naïve «x»", "naïve x", 0.5),  # that of ASCII alone
    ],
)
def test_token_f1_is_that_of_squad(generated: str, reference: str, score: float) -> None:
    assert metrics.token_f1(generated, reference) == pytest.approx(score)
    assert metrics.token_f1(reference, generated) == pytest.approx(score)


@pytest.mark.capability("metrics")
@pytest.mark.parametrize(
    ("generated", "score"),
    [
        ('{"a": [1, null]}', 1), ('\n "text" ', 1), ("1", 1), ("", 0), ("{'a': 1}", 0), ('{"a": 1,}', 0),
        ("```json\n{}\n```", 0), ("{} {}", 0), ("NaN", 0), ('{"a": -Infinity}', 0), ("[" * 100_000, 0),
    ],
)  # fmt: skip
def test_json_is_one_value_and_nothing_around_it(generated: str, score: int) -> None:
    assert metrics.json_valid(generated) == score


@pytest.mark.capability("metrics")
@pytest.mark.parametrize(
    ("pattern", "generated", "score"),
    [("b+", "abba", 1), ("^b+$", "abba", 0), ("^b+$", "bb", 1), ("(?i)A$", "a", 1), ("b", "", 0)],
)
def test_regex_is_found_anywhere(pattern: str, generated: str, score: int) -> None:
    assert score_of("regex", Scored(generated, None), regex=pattern) == score


def test_stop_rate_is_of_answers_that_were_not_cut() -> None:
    assert score_of("stopRate", Scored("a", None), Scored("b", None, truncated=True), Scored(None, None)) == (
        pytest.approx(1 / 3)
    )


def test_only_metrics_that_compare_need_references() -> None:
    needed = {name for name, metric in resolved(*EVALUATION_METRICS).items() if metric.compares}
    assert needed == set(REFERENCE_METRICS)


@pytest.mark.parametrize(
    ("name", "regex", "reason", "message"),
    [
        ("exactmatch", None, "MetricUnknown", "did you mean exactMatch"),
        ("regex", "(", "OptionInvalid", r"evaluate\.regex '\(' is no regular expression: missing \)"),
        ("no_such_module:f", None, "ImageLacksPackage", "metric no_such_module:f: there is no module no_such_module"),
        ("own_scores:other", None, "MetricUnknown", "metric own_scores:other: own_scores has no function other"),
        ("own_scores:LIMIT", None, "MetricUnknown", "own_scores has no function LIMIT"),
        ("own_broken:f", None, "MetricUnknown", "own_broken:f: own_broken cannot be imported: ZeroDivisionError"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("own_modules")
def test_metrics_that_cannot_be_had_are_refused(
    name: str, regex: str | None, reason: str, message: str
) -> None:
    with pytest.raises(JobError, match=message) as caught:
        resolved(name, regex=regex)
    assert caught.value.reason == reason


OWN = """
LIMIT = 3

def shorter(generated, reference, row):
    return len(generated) <= LIMIT and reference is None and row["level"] == 2

def answer(generated, reference, row):
    return {"nan": float("nan"), "text": "0.5", "none": None, "many": 10 ** 400, "number": 2.5}[generated]
"""


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules as an image or ray.pip has them."""
    (tmp_path / "own_scores.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_scores", "own_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.capability("own-metrics")
@pytest.mark.usefixtures("own_modules")
def test_an_own_metric_is_given_answer_reference_and_row() -> None:
    rows = [
        Scored("abc", None, row={"level": 2}),
        Scored("abcd", None, row={"level": 2}),
        Scored(None, None, row={}),
    ]
    assert score_of("own_scores:shorter", *rows) == pytest.approx(1 / 3)
    assert score_of("own_scores:answer", Scored("number", None)) == 2.5


def test_on_one_machine_a_metric_lies_beside_the_file_after_all_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "near_scores.py").write_text(OWN)
    (tmp_path / "colorsys.py").write_text("1 / 0")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    monkeypatch.setenv(own_metric.MODULES_ENV, str(tmp_path))
    assert score_of("near_scores:answer", Scored("number", None)) == 2.5
    assert callable(own_metric.load("colorsys:rgb_to_hsv"))
    with pytest.raises(
        JobError, match=f"there is no module nowhere in {tmp_path} or installed; put it beside"
    ):
        own_metric.load("nowhere:f")
    sys.modules.pop("near_scores")


@pytest.mark.capability("own-metrics")
@pytest.mark.parametrize(
    ("generated", "problem"),
    [
        ("nan", "expected a finite number, got nan"),
        ("text", "expected a finite number, got '0.5'"),
        ("none", "expected a finite number, got None"),
        ("many", "expected a finite number, got 1000"),
        ("unforeseen", "KeyError: 'unforeseen'"),
    ],
)
@pytest.mark.usefixtures("own_modules")
def test_an_own_metric_without_a_number_has_no_value_at_all(generated: str, problem: str) -> None:
    rows = [Scored("number", None, row_id="a"), Scored(generated, None, row_id="b")]
    found = evaluate(rows, resolved("own_scores:answer"), 0)["own_scores:answer"]
    assert (found.points, found.score.value, found.score.low, found.score.n) == (None, None, None, 2)
    assert found.score.message.startswith(f"metric own_scores:answer failed: row b: {problem}")


def resolved(*names: str, regex: str | None = "") -> dict[str, metrics.Metric]:
    return metrics.resolve({"metrics": list(names), "regex": regex})


def score_of(name: str, *rows: Scored, regex: str = "") -> Any:
    return evaluate(rows, resolved(name, regex=regex), 0)[name].score.value
