"""What a batch is going to do, found out and checked before any engine starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmworkflow_jobs import (
    batch_adapters,
    batch_options,
    data,
    engine,
    inference_model,
    metrics,
    model,
    overlap,
    rows,
    sampling,
)
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import check_row
from llmworkflow_jobs.report import Report


@dataclass(frozen=True)
class Plan:
    """Which model answers which requests, and how.

    `columns` are those of the input that are kept; `requested` are the sampling parameters that the resource sets,
    `parameters` those that the engine is given; `overlap` counts the rows that were trained on.
    """

    base: model.BaseModel
    model: inference_model.InferenceModel
    requests: list[rows.Request]
    columns: list[str]
    requested: dict[str, Any]
    parameters: dict[str, Any]
    metrics: dict[str, metrics.Metric]
    overlap: dict[str, int]


def prepare(config: JobConfig, report: Report) -> Plan:
    """Check the configuration, the model and the rows. Raises JobError."""
    section = config.section
    evaluation = section["evaluate"]
    _check(section)
    scores = metrics.resolve(evaluation)
    with_reference = metrics.need_references(scores.values())
    read = data.read_rows([section["input"]], config, report, _row_check(config, with_reference))
    columns = rows.kept_columns(read, section["output"]["keep"], scores)
    base = model.resolve(config, report)
    chosen = inference_model.choose(config, base)
    requests = rows.ask(
        rows.select(read, section["input"]),
        config.prompt,
        model.load_tokenizer(config, chosen.folder),
        with_reference,
        source=section["input"]["uri"],
    )
    if chosen.adapters:
        requests = batch_adapters.assign(
            requests, section["adapterColumn"], chosen.adapters, section["onRowError"]
        )
    _check_groups(evaluation, requests)
    requested = sampling.requested(section["sampling"])
    parameters = sampling.effective(requested, sampling.model_defaults(config.model, chosen.folder))
    found = overlap.check(requests, config, evaluation["onOverlap"]) if evaluation else {}
    return Plan(base, chosen, requests, columns, requested, parameters, scores, found)


def _check(section: Mapping[str, Any]) -> None:
    batch_options.check(section)
    sampling.check_extra(section["sampling"]["extra"])
    engine.check_overrides(section["engineKwargs"])


def _check_groups(evaluation: Mapping[str, Any] | None, requests: Sequence[rows.Request]) -> None:
    column = evaluation["groupBy"] if evaluation else None
    if column is not None and all(column not in request.row for request in requests):
        known = ", ".join(requests[0].row)
        raise JobError("ColumnMissing", f"evaluate.groupBy names {column}, the input has {known}")


def _row_check(config: JobConfig, with_reference: bool) -> data.Check | None:
    """Where a bad row fails the job, it does so at once, with file and line; else it becomes a row with an error."""
    if config.section["onRowError"] != "fail":
        return None
    return lambda row: check_row(row, config.prompt, response=with_reference)
