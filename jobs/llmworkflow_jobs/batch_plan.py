"""What a batch is going to do, found out and checked before any engine starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from llmworkflow_jobs import (
    batch_adapters,
    batch_input,
    batch_model,
    batch_options,
    data,
    endpoint,
    engine,
    media,
    metrics,
    overlap,
    postprocess,
    row_sampling,
    rows,
    sampling,
    sglang_engine,
    steps,
    turns,
)
from llmworkflow_jobs.answers import NextTurn
from llmworkflow_jobs.comparison import needs_base
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inference_model import InferenceModel
from llmworkflow_jobs.model import BaseModel
from llmworkflow_jobs.prompt import check_row
from llmworkflow_jobs.report import Report


@dataclass(frozen=True)
class Plan:
    """Which model answers which requests, and how; there is none where an endpoint does.

    `columns` are those of the input that are kept; `requested` are the sampling parameters that the resource sets,
    `parameters` those that the engine is given; `overlap` counts the rows that were trained on; `data` has digests of
    rows that have no address; `next_turn` makes the requests of conversations; `also` are columns of this result alone.
    """

    base: BaseModel | None
    model: InferenceModel | None
    requests: list[rows.Request]
    columns: list[str]
    requested: dict[str, Any]
    parameters: dict[str, Any]
    metrics: dict[str, metrics.Metric]
    overlap: dict[str, int]
    data: Mapping[str, str] = field(default_factory=dict)
    next_turn: NextTurn | None = None
    also: Sequence[str] = ()


def prepare(config: JobConfig, report: Report) -> Plan:
    """Check the configuration, the model and the rows. Raises JobError."""
    section = config.section
    evaluation = section["evaluate"]
    _check(config)
    scores = metrics.resolve(evaluation)
    with_reference = metrics.need_references(scores.values())
    read = batch_input.read(config, report, _row_check(config, with_reference))
    also = _also(section)
    columns = rows.kept_columns(read.rows, section["output"]["keep"], scores, also)
    media.check(read.rows, config)
    answering = batch_model.choose(config, report)
    requests = rows.ask(
        rows.select(read.rows, section["input"]),
        config.prompt,
        answering.encode,
        with_reference,
        source=read.source,
        each=partial(steps.mapped, step=section["pipeline"]["preprocess"], batch_size=section["batchSize"]),
        look=media.look(config),
    )
    requests = _of_rows(requests, section, answering.model)
    rows.check_kept(requests, columns, section["output"]["format"])
    _check_groups(evaluation, requests)
    requested = sampling.requested(section["sampling"])
    parameters = sampling.effective(requested, answering.defaults)
    found = overlap.check(requests, config, evaluation["onOverlap"]) if evaluation else {}
    follow = turns.following(section["turns"], config.prompt, answering.encode)
    return Plan(
        answering.base,
        answering.model,
        requests,
        columns,
        requested,
        parameters,
        scores,
        found,
        read.digests,
        follow,
        also,
    )


def _also(section: Mapping[str, Any]) -> list[str]:
    """Columns that the result of such a batch has beside those of all."""
    of_task = {"embed": [rows.EMBEDDING], "classify": [rows.PROBABILITIES]}.get(section["task"], [])
    return [*of_task, *([rows.EARLIER_ANSWERS] if section["turns"] else [])]


def _of_rows(
    requests: list[rows.Request], section: Mapping[str, Any], chosen: InferenceModel | None
) -> list[rows.Request]:
    """The requests with what their rows say of them: an earlier error, an adapter, sampling of their own."""
    on_error = section["onRowError"]
    requests = batch_input.pass_on_errors(requests, section["input"]["stage"], on_error)
    if chosen and chosen.adapters:
        requests = batch_adapters.assign(requests, section["adapterColumn"], chosen.adapters, on_error)
    if column := section["sampling"]["column"]:
        ignored = sglang_engine.ignored(section) if section["engine"] == "sglang" else ()
        requests = row_sampling.assign(requests, column, on_error, ignored)
    rows.check_errors(requests, on_error)
    return requests


def _check(config: JobConfig) -> None:
    section = config.section
    batch_options.check(section)
    postprocess.check(section["postprocess"])
    if section["task"] in endpoint.TASKS:
        if needs_base(config):
            raise JobError(
                "OptionInvalid",
                f"a gate compares with the base model, which a batch of task {section['task']} does not load; name a "
                "batch in betterThan",
            )
        return  # the endpoint knows its own parameters
    if section["engine"] == "sglang":
        sglang_engine.check(config)
        return
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
