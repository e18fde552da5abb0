"""Whether a place can run workflows, and what a person may do there: one finding a line, each with its remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    """How it stands with one thing."""

    GOOD = "ok"
    UNSURE = "unknown"  # it may not be looked at
    POOR = "warning"  # something will not work
    BAD = "failed"  # nothing will


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    health: Health
    told: str
    remedy: str = ""


def good(subject: str, told: str) -> Finding:
    """It is as it should be."""
    return Finding(subject, Health.GOOD, told)


def version_of(text: str) -> tuple[int, int] | None:
    """Major and minor of a version such as v1.34.4 or 1.34+; None where it is none."""
    numbers = [part.rstrip("+") for part in text.strip().lstrip("v").split(".")[:2]]
    if len(numbers) < 2 or not all(number.isdigit() for number in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def worst(findings: Iterator[Finding] | list[Finding]) -> Health:
    """The worst of all."""
    order = list(Health)
    return max((finding.health for finding in findings), key=order.index, default=Health.GOOD)
