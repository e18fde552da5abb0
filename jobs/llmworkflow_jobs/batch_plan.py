"""What a batch is going to do, found out and checked before any engine starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmworkflow_jobs import batch_adapters, data, engine, inference_model, metrics, model, rows, sampling
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import check_row
from llmworkflow_jobs.report import Report


@dataclass(frozen=True)
class Plan:
    """Which model answers which requests, and how.

    `columns` are those of the input that are kept; `requested` are the sampling parameters that the resource sets,
    `parameters` those that the engine is given.
    """

    base: model.BaseModel
    model: inference_model.InferenceModel
    requests: list[rows.Request]
    columns: list[str]
    requested: dict[str, Any]
    parameters: dict[str, Any]


def prepare(config: JobConfig, report: Report) -> Plan:
    """Check the configuration, the model and the rows. Raises JobError."""
    section = config.section
    _check(section)
    read = data.read_rows([section["input"]], config, report, _row_check(config))
    columns = rows.kept_columns(read, section["output"]["keep"])
    base = model.resolve(config, report)
    chosen = inference_model.choose(config, base)
    requests = rows.ask(
        rows.select(read, section["input"]),
        config.prompt,
        model.load_tokenizer(config, chosen.folder),
        with_reference=section["evaluate"] is not None,
        source=section["input"]["uri"],
    )
    if chosen.adapters:
        requests = batch_adapters.assign(
            requests, section["adapterColumn"], chosen.adapters, section["onRowError"]
        )
    requested = sampling.requested(section["sampling"])
    parameters = sampling.effective(requested, sampling.model_defaults(config.model, chosen.folder))
    return Plan(base, chosen, requests, columns, requested, parameters)


def _check(section: Mapping[str, Any]) -> None:
    if section["task"] != "generate":
        raise JobError("OptionInvalid", f"task is {section['task']!r}; these jobs know generate")
    metrics.check((section["evaluate"] or {}).get("metrics", ()))
    sampling.check_extra(section["sampling"]["extra"])
    engine.check_overrides(section["engineKwargs"])


def _row_check(config: JobConfig) -> data.Check | None:
    """Where a bad row fails the job, it does so at once, with file and line; else it becomes a row with an error."""
    if config.section["onRowError"] != "fail":
        return None
    scored = config.section["evaluate"] is not None
    return lambda row: check_row(row, config.prompt, response=scored)
