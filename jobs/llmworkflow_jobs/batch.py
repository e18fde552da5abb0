"""The batch job: `python -m llmworkflow_jobs.batch`.

The driver reads and checks the rows, has engines in Ray actors answer them, and publishes one row for each row
that it took, with the scores over all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from llmworkflow_jobs import (
    answers,
    comparison,
    endpoint,
    kept_answers,
    pooling,
    postprocess,
    replay,
    report,
    rows,
    sampling,
    steps,
    storage,
)
from llmworkflow_jobs.batch_plan import Plan, prepare
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inference_model import InferenceModel, on_base
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.rows import Answer, Request
from llmworkflow_jobs.scoring import score

# Folder of the base model's rows inside the artifact, where a gate compares with them.
BASE_ROWS = "base"

logger = logging.getLogger(__name__)


def main(config: JobConfig, report: Report) -> None:
    """Run the batch that the configuration describes, and publish its rows and scores."""
    storage.claim(config)
    if already := storage.published(config):
        logger.info("%s is published already", config.output_uri)
        kept_answers.remove(config)
        report.repeat(*already)
        return
    plan = prepare(config, report)
    if plan.model:
        _start_ray(report, len(plan.requests))
    started = time.monotonic()
    found = _answers(plan, plan.model, rows.FOLDER, config, report)
    seconds = time.monotonic() - started

    results = _results(plan, found, config)
    check_answered(results, config.section["onRowError"])
    base = _base_results(plan, config, report)
    terms = _terms(plan, config, report)
    metrics = score(plan, results, base, terms, config) | _counts(results) | plan.overlap
    metrics |= _rates(results, seconds)
    _write(results, rows.FOLDER, config)
    _copy(results, config)
    if base:
        _write(base, BASE_ROWS, config)
    artifact = _publish(plan, found, metrics, terms, config, report)
    kept_answers.remove(config)
    report.metrics(metrics)
    report.succeed(artifact)


def _start_ray(report: Report, count: int) -> None:
    report.progress(0, 1, f"{count} rows read, starting the engine")

    steps.connect()  # Ray is slow to import: bad input is told before


def _answers(
    plan: Plan, model: InferenceModel | None, name: str, config: JobConfig, report: Report
) -> list[Answer | None]:
    """What `model` answers; `name` tells its answers from those of other models that this batch asks."""
    section = config.section
    ask = answers.retried(_backend(plan, model, config), section["retryFailedRows"])
    if section["checkpoint"]:
        ask = kept_answers.kept(ask, name, config)
    further = len(section["turns"])
    ask = answers.counted(ask, len(answers.askable(plan.requests)) * (1 + further), report)
    if further and plan.next_turn:
        ask = answers.in_turns(ask, further, plan.next_turn)
    return answers.collect(plan.requests, ask, section["onRowError"])


def _backend(plan: Plan, model: InferenceModel | None, config: JobConfig) -> answers.Ask:
    if model is None:
        asked = endpoint.of(config)
        return lambda requests: endpoint.answer(requests, asked, plan.parameters)

    from llmworkflow_jobs.generation import generate

    def ask(requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        return generate(requests, model, plan.parameters, config)

    if config.section["task"] == "classify":
        return pooling.labelled(ask, pooling.labels_of(model.folder))
    return ask


def _results(plan: Plan, found: Sequence[Answer | None], config: JobConfig) -> list[Row]:
    section = config.section
    make = partial(
        _result,
        template=section["postprocess"],
        columns=plan.columns,
        max_tokens=plan.parameters["max_tokens"],
        also=plan.also,
    )
    answered = zip(plan.requests, found, strict=True)
    return steps.mapped(make, answered, section["pipeline"]["postprocess"], section["batchSize"])


def _result(
    answered: tuple[Request, Answer | None],
    template: str | None,
    columns: Sequence[str],
    max_tokens: int,
    also: Sequence[str],
) -> Row:
    request, answer = answered
    longest = request.sampling.get("max_tokens", max_tokens)
    return rows.result(request, postprocess.apply(template, request, answer), columns, longest, also)


def check_answered(results: Sequence[Row], on_row_error: str) -> None:
    """Raise RowsFailed if a row has no answer and each must have one, or if none has: then the batch is wrong."""
    wrong = [row for row in results if row["error"]]
    first = f"row {wrong[0]['row_id']}: {wrong[0]['error']}" if wrong else ""
    if len(wrong) == len(results):
        raise JobError("RowsFailed", f"all {len(results)} rows failed, {first}")
    if wrong and on_row_error == "fail":
        raise JobError("RowsFailed", f"{first}; set onRowError: continue to go on without such rows")


def _base_results(plan: Plan, config: JobConfig, report: Report) -> list[Row]:
    """The rows of the base model, asked as the candidate was; none where no gate compares with it."""
    if plan.base is None or not comparison.needs_base(config):
        return []
    report.progress(0, 1, "starting the engine of the base model, with which a gate compares")
    found = _answers(plan, on_base(config, plan.base.folder), BASE_ROWS, config, report)
    return _results(plan, found, config)


def _terms(plan: Plan, config: JobConfig, report: Report) -> dict[str, str]:
    sampling = plan.requested | {"generationConfig": config.model["generationConfig"]}
    sampling |= {name: config.section[name] for name in ("postprocess", "turns") if config.section[name]}
    return comparison.terms(plan.requests, sampling, {**_data(plan, report), **plan.data})


def _data(plan: Plan, report: Report) -> dict[str, str]:
    """Digests of the data that has addresses."""
    base = plan.base.source if plan.base else None
    return {uri: digest for uri, digest in report.digests.items() if uri != base}


def _counts(results: Sequence[Row]) -> dict[str, int]:
    """How many rows there are, failed and were cut at maxTokens."""
    return {
        "rows": len(results),
        "rowErrors": sum(row["error"] is not None for row in results),
        "rowsTruncated": sum(row["truncated"] for row in results),
    }


def _rates(results: Sequence[Row], seconds: float) -> dict[str, float]:
    """Throughput over `seconds`, which include the start of the engines."""
    tokens = sum(row["num_generated_tokens"] for row in results)
    return {"rowsPerSecond": len(results) / seconds, "outputTokensPerSecond": tokens / seconds}


def _write(results: Sequence[Row], folder: str, config: JobConfig) -> None:
    rows.write(
        results,
        config.section["output"]["format"],
        *storage.open_uri(f"{config.output_uri}/{folder}", config),
    )


def _copy(results: Sequence[Row], config: JobConfig) -> None:
    """Write the rows to the further place of `output.uri`, if there is one."""
    output = config.section["output"]
    if output["uri"]:
        rows.write(results, output["format"], *storage.open_uri(output["uri"], config))


def _publish(
    plan: Plan,
    found: Sequence[Answer | None],
    metrics: dict[str, Any],
    terms: dict[str, str],
    config: JobConfig,
    report: Report,
) -> dict[str, str]:
    answered = [(request, answer) for request, answer in zip(plan.requests, found, strict=True) if answer]
    reproducible = all(
        sampling.is_reproducible({**plan.parameters, **request.sampling}) for request, _ in answered
    )
    if config.section["task"] == "generate" and not config.section["multimodal"]:
        replay.write(replay.choose(answered, plan.requested, reproducible), config)
    lineage = {
        "base": {"source": plan.base.source, "digest": plan.base.digest} if plan.base else None,
        "model": config.inputs[config.section["model"]["stage"]]["artifact"]
        if config.section["model"]
        else None,
        "adapters": _adapters(config),
        "data": _data(plan, report),
        "sampling": plan.parameters,
        "seed": config.section["input"]["seed"],
        "evaluation": terms,
        "metrics": metrics,
    }
    return storage.publish(config, "rows", [rows.FOLDER, BASE_ROWS, replay.FILE], lineage)


def _adapters(config: JobConfig) -> dict[str, Any]:
    """The adapters that rows may name: artifacts, or the addresses of those that no stage made."""
    return {
        adapter["name"]: config.inputs[adapter["stage"]]["artifact"]
        if adapter["stage"]
        else {"uri": adapter["uri"], "type": "adapter"}
        for adapter in config.section["adapters"] or []
    }


if __name__ == "__main__":
    report.run(main)
