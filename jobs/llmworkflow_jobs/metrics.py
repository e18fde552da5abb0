"""The metrics that generated texts are scored with, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from llmworkflow_jobs.errors import unknown_name

# Score of a generated text against its reference, between 0 and 1.
Metric = Callable[[str, str], float]


def exact_match(generated: str, reference: str) -> float:
    """1 if the texts are equal character for character once white space at both ends is taken off, else 0.

    Nothing else is normalised: case, punctuation and inner white space count.
    """
    return float(generated.strip() == reference.strip())


METRICS: dict[str, Metric] = {"exactMatch": exact_match}


def check(names: Iterable[str]) -> None:
    """Raise MetricUnknown for a name that is none of METRICS."""
    for name in names:
        if name not in METRICS:
            raise unknown_name("MetricUnknown", "metric", name, METRICS)
