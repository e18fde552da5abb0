"""The scores of a batch's rows, and what they are better by than those of the incumbents."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from llmworkflow_jobs import comparison, rows
from llmworkflow_jobs.batch_plan import Plan
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row
from llmworkflow_jobs.evaluate import Evaluation, evaluate, group_of
from llmworkflow_jobs.metrics import Scored

logger = logging.getLogger(__name__)


def score(
    plan: Plan, results: Sequence[Row], base: Sequence[Row], terms: Mapping[str, str], config: JobConfig
) -> dict[str, Any]:
    """Score the rows, each of which gets a column for each metric, and compare them with those of the incumbents.

    `base` are the rows of the base model, as far as it was asked. Returns what the report says of each metric.
    """
    evaluation = config.section["evaluate"]
    if evaluation is None:
        return {}
    candidate = _scored(plan, results, evaluation["groupBy"])
    others = _scored(plan, base, evaluation["groupBy"])
    scores = evaluate(candidate, plan.metrics, evaluation["seed"])
    _add_columns(results, scores)
    if base:
        _add_columns(base, evaluate(others, plan.metrics, evaluation["seed"]))
    incumbents = {
        name: comparison.Incumbent(told, others)
        if told["artifact"] is None
        else comparison.published(told, candidate, terms, config)
        for name, told in config.incumbents.items()
    }
    found = {}
    for name, metric in plan.metrics.items():
        comparisons = {
            target: comparison.compare(candidate, scores[name], metric, incumbent, evaluation["seed"])
            for target, incumbent in incumbents.items()
        }
        found[name] = asdict(scores[name].score) | {"comparisons": comparisons}
        _log(name, found[name])
    return found


def _scored(plan: Plan, results: Sequence[Row], group_by: str | None) -> list[Scored]:
    return [
        Scored(
            generated=row["generated_text"],
            reference=row["reference"],
            truncated=row["truncated"],
            row=request.row,
            group=group_of(request.row, request.row_id, group_by),
            row_id=request.row_id,
        )
        for request, row in zip(plan.requests, results, strict=False)
    ]


def _add_columns(results: Sequence[Row], scores: Mapping[str, Evaluation]) -> None:
    for name, found in scores.items():
        for index, row in enumerate(results):
            row[f"{rows.SCORE}{name}"] = found.points[index] if found.points else None


def _log(name: str, metric: Mapping[str, Any]) -> None:
    """Say what has no value, or could not be compared: the job goes on, and a gate on it fails."""
    if metric["message"]:
        logger.error("%s", metric["message"])
    for target, found in metric["comparisons"].items():
        if not found["comparable"]:
            logger.error("%s cannot be compared with %s: %s", name, target, found["message"])
