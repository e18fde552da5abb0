"""Rows of several models side by side: which ones the candidate won and lost, and in what they differ."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from llmworkflow.api.fields import JsonObject
from llmworkflow.page.differences import Segment, difference
from llmworkflow.page.sources import Rows

SCORE = "score_"  # before a metric's name: the column with what a row got by it

Message = Mapping[str, str]
Prompt = Callable[[JsonObject], Sequence[Message]]


class Outcome(StrEnum):
    """How the candidate did on a row, against its opponent."""

    LOST = "lost"
    WON = "won"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Answer:
    """What a model made of a row."""

    role: str
    text: str
    segments: Sequence[Segment]  # against the reference
    points: float | None
    error: str | None
    truncated: bool


@dataclass(frozen=True)
class Row:
    """A row, asked of every model."""

    id: str
    outcome: Outcome
    messages: Sequence[Message]
    reference: str | None
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Comparison:
    """The rows of a candidate against those of an opponent."""

    opponent: str
    counts: Mapping[Outcome, int]
    rows: Sequence[Row]  # the first of each outcome
    unpaired: int  # of the candidate, which the opponent was not asked


def compare(
    metric: str, rows_by_role: Mapping[str, Rows], opponent: str, prompt: Prompt, shown: int
) -> Comparison:
    """The first role's rows against the opponent's, paired by their ids; at most `shown` of each outcome in full."""
    candidate, *_ = rows_by_role
    by_id = {role: {row["row_id"]: row for row in rows} for role, rows in rows_by_role.items()}
    paired = [key for key in by_id[candidate] if key in by_id[opponent]]
    paired.sort(key=lambda key: _soundness(by_id[candidate][key]))
    ids: dict[Outcome, list[object]] = {outcome: [] for outcome in Outcome}
    for key in paired:
        ids[_outcome(by_id[candidate][key], by_id[opponent][key], metric)].append(key)
    rows = [
        _row(outcome, {role: found[key] for role, found in by_id.items() if key in found}, metric, prompt)
        for outcome in Outcome
        for key in ids[outcome][:shown]
    ]
    counts = {outcome: len(found) for outcome, found in ids.items()}
    return Comparison(opponent, counts, rows, len(by_id[candidate]) - len(paired))


def points(row: JsonObject, metric: str) -> float | None:
    """What a row got by a metric; None where neither the row nor this page knows. A failed row has nothing."""
    if row.get("error"):
        return 0.0
    if f"{SCORE}{metric}" in row:
        found = row[f"{SCORE}{metric}"]
        return None if found is None else float(found)
    if metric == "exactMatch" and row.get("reference") is not None:
        return float((row.get("generated_text") or "").strip() == row["reference"].strip())
    return None


def errors(rows: Rows) -> list[tuple[str, int]]:
    """Why rows failed, and how many for each reason, the most frequent first."""
    return Counter(str(row["error"]) for row in rows if row.get("error")).most_common()


def _soundness(row: JsonObject) -> int:
    """What failed is to be seen first, then what was cut."""
    return 0 if row.get("error") else 1 if row.get("truncated") else 2


def _outcome(candidate: JsonObject, opponent: JsonObject, metric: str) -> Outcome:
    ours, theirs = points(candidate, metric), points(opponent, metric)
    if ours is None or theirs is None or ours == theirs:
        return Outcome.UNCHANGED
    return Outcome.WON if ours > theirs else Outcome.LOST


def _row(outcome: Outcome, by_role: Mapping[str, JsonObject], metric: str, prompt: Prompt) -> Row:
    first = next(iter(by_role.values()))
    reference = first.get("reference")
    answers = [_answer(role, row, reference, metric) for role, row in by_role.items()]
    return Row(str(first["row_id"]), outcome, prompt(first), reference, answers)


def _answer(role: str, row: JsonObject, reference: str | None, metric: str) -> Answer:
    text = row.get("generated_text") or ""
    segments = [Segment("same", text)] if reference is None else difference(text, reference)
    return Answer(role, text, segments, points(row, metric), row.get("error"), bool(row.get("truncated")))
