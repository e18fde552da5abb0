"""The metrics that answers are scored with, by name.

A metric is computed of each row that was answered; `evaluate` says what the other rows count.
"""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmworkflow_jobs import own_metric
from llmworkflow_jobs.errors import JobError, unknown_name


@dataclass(frozen=True)
class Scored:
    """What a row contributes.

    The generated text is None if the row failed, the reference is None if it has none; `truncated` says that generation
    stopped at the limit of tokens; `row` has the columns of the input, `group` what makes it one draw with others.
    """

    generated: str | None
    reference: str | None
    truncated: bool = False
    row: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None
    row_id: str | int = 0


@dataclass(frozen=True)
class Metric:
    """How a row with an answer is scored. One that compares with a reference is only asked where there is one.

    `own` marks a user's function: what it returns is to be checked.
    """

    score: Callable[[Scored], Any]
    compares: bool = False
    own: bool = False


def exact_match(generated: str, reference: str) -> float:
    """1 if the texts are equal character for character once white space at both ends is taken off, else 0.

    Nothing else is normalised: case, punctuation and inner white space count.
    """
    return float(generated.strip() == reference.strip())


def token_f1(generated: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the reference's words in the answer, each counted as often as it occurs.

    As in the evaluation of SQuAD (P. Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text,
    EMNLP 2016, and its script for version 2.0): texts are put into lower case, ASCII punctuation is deleted, the words
    a, an and the are left out, and what is left is split at white space. If either has no word left, the score is 1 if
    neither has, else 0.
    """
    words, expected = Counter(_words(generated)), Counter(_words(reference))
    if not words or not expected:
        return float(words == expected)
    common = (words & expected).total()
    return 2 * common / (words.total() + expected.total())


def json_valid(generated: str) -> float:
    """1 if the answer, white space at both ends aside, is one JSON value as RFC 8259 has it, else 0.

    NaN and Infinity, which Python reads, are not JSON, nor is a value with text or a Markdown fence around it.
    """
    try:
        json.loads(generated, parse_constant=_refuse)
    except (ValueError, RecursionError):  # the second for brackets nested a thousand deep
        return 0.0
    return 1.0


def resolve(evaluation: Mapping[str, Any] | None) -> dict[str, Metric]:
    """The metrics of a batch's `evaluate` section, by name.

    Raises MetricUnknown, OptionInvalid for a regex that is none, or what `own_metric.load` raises.
    """
    if evaluation is None:
        return {}
    return {name: _resolve(name, evaluation) for name in evaluation["metrics"]}


def need_references(metrics: Iterable[Metric]) -> bool:
    """Whether rows without a reference are of no use to one of the metrics."""
    return any(metric.compares for metric in metrics)


def stopped(row: Scored) -> float:
    """1 if the model ended the answer by a stop token or a stop text, in fewer than maxTokens tokens, else 0."""
    return float(not row.truncated)


def _of_texts(function: Callable[[str, str], float]) -> Metric:
    return Metric(lambda row: function(row.generated or "", row.reference or ""), compares=True)


def _of_answer(function: Callable[[str], float]) -> Metric:
    return Metric(lambda row: function(row.generated or ""))


# Beside them, `regex` is made from its pattern, and a name with a colon is a function of the user's.
METRICS: dict[str, Metric] = {
    "exactMatch": _of_texts(exact_match),
    "tokenF1": _of_texts(token_f1),
    "jsonValid": _of_answer(json_valid),
    "stopRate": Metric(stopped),
}
_KNOWN = (*METRICS, "regex")


def _resolve(name: str, evaluation: Mapping[str, Any]) -> Metric:
    if name == "regex":
        return _regex(evaluation["regex"])
    if ":" in name:
        function = own_metric.load(name)
        return Metric(lambda row: function(row.generated, row.reference, dict(row.row)), own=True)
    if name not in METRICS:
        raise unknown_name("MetricUnknown", "metric", name, _KNOWN)
    return METRICS[name]


def _regex(pattern: str) -> Metric:
    """1 if the pattern, in Python's syntax, is found anywhere in the answer, else 0; ^ and $ tie it to its ends."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise JobError(
            "OptionInvalid", f"evaluate.regex {pattern!r} is no regular expression: {error}"
        ) from error
    return _of_answer(lambda generated: float(compiled.search(generated) is not None))


def _words(text: str) -> list[str]:
    plain = text.lower().translate(_NO_PUNCTUATION)
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
