"""The batch job: `python -m llmworkflow_jobs.batch`.

The driver reads and checks the rows, has vLLM engines in Ray actors answer them, and publishes one row for each row
that it took, with the scores over all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

from llmworkflow_jobs import comparison, postprocess, replay, report, rows, sampling, storage
from llmworkflow_jobs.batch_plan import Plan, prepare
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inference_model import InferenceModel, on_base
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.rows import Answer, Request
from llmworkflow_jobs.scoring import needs_base, score

# Folder of the base model's rows inside the artifact, where a gate compares with them.
BASE_ROWS = "base"

logger = logging.getLogger(__name__)


def main(config: JobConfig, report: Report) -> None:
    """Run the batch that the configuration describes, and publish its rows and scores."""
    storage.claim(config)
    if already := storage.published(config):
        logger.info("%s is published already", config.output_uri)
        report.repeat(*already)
        return
    plan = prepare(config, report)
    report.progress(0, 1, f"{len(plan.requests)} rows read, starting the engine")

    import ray  # slow to import: bad input is told before

    ray.init(logging_level=logging.WARNING)
    started = time.monotonic()
    answers = _answers(plan, plan.model, config, report)
    seconds = time.monotonic() - started

    results = _results(plan, answers, config)
    _check_answered(results)
    base = _base_results(plan, config, report)
    terms = _terms(plan, config, report)
    metrics = score(plan, results, base, terms, config) | _counts(results) | plan.overlap
    metrics |= _rates(results, seconds)
    _write(results, rows.FOLDER, config)
    _copy(results, config)
    if base:
        _write(base, BASE_ROWS, config)
    artifact = _publish(plan, answers, metrics, terms, config, report)
    report.metrics(metrics)
    report.succeed(artifact)


def _answers(plan: Plan, model: InferenceModel, config: JobConfig, report: Report) -> list[Answer | None]:
    from llmworkflow_jobs.generation import generate

    stream = generate(plan.requests, model, plan.parameters, config)
    return collect(plan.requests, stream, config.section["onRowError"], report)


def _results(plan: Plan, answers: Sequence[Answer | None], config: JobConfig) -> list[Row]:
    template = config.section["postprocess"]
    return [
        rows.result(
            request,
            postprocess.apply(template, request, answer),
            plan.columns,
            request.sampling.get("max_tokens", plan.parameters["max_tokens"]),
        )
        for request, answer in zip(plan.requests, answers, strict=True)
    ]


def _check_answered(results: Sequence[Row]) -> None:
    """Raise RowsFailed if no row has an answer: then it is the batch that is wrong, such as the form it asks for."""
    if all(row["error"] for row in results):
        raise JobError(
            "RowsFailed", f"all {len(results)} rows failed, row {results[0]['row_id']}: {results[0]['error']}"
        )


def _base_results(plan: Plan, config: JobConfig, report: Report) -> list[Row]:
    """The rows of the base model, asked as the candidate was; none where no gate compares with it."""
    if not needs_base(config):
        return []
    report.progress(0, 1, "starting the engine of the base model, with which a gate compares")
    return _results(plan, _answers(plan, on_base(config, plan.base.folder), config, report), config)


def _terms(plan: Plan, config: JobConfig, report: Report) -> dict[str, str]:
    template = config.section["postprocess"]
    sampling = plan.requested | {"generationConfig": config.model["generationConfig"]}
    sampling |= {"postprocess": template} if template else {}
    return comparison.terms(plan.requests, sampling, _data(plan, report))


def _data(plan: Plan, report: Report) -> dict[str, str]:
    named = {uri: digest for uri, digest in report.digests.items() if uri != plan.base.source}
    return {**named, **plan.data}


def collect(
    requests: Sequence[Request], stream: Iterable[tuple[int, Answer]], on_row_error: str, report: Report
) -> list[Answer | None]:
    """The answer of each request, in order, None where there is none; reports progress meanwhile.

    Raises RowsFailed at the first error if `on_row_error` is "fail".
    """
    answers: list[Answer | None] = [None] * len(requests)
    progress = _Progress(sum(request.error is None for request in requests), report)
    for index, answer in stream:
        if answer.error is not None and on_row_error == "fail":
            raise JobError(
                "RowsFailed",
                f"row {requests[index].row_id}: {answer.error}; set onRowError: continue to go on without such rows",
            )
        answers[index] = answer
        progress.add()
    return answers


class _Progress:
    """Reports at most every two seconds: rows are many, and a report is an object of the API server."""

    _INTERVAL = 2.0

    def __init__(self, total: int, report: Report) -> None:
        self._total = total
        self._report = report
        self._done = 0
        self._next = 0.0

    def add(self) -> None:
        self._done += 1
        if (now := time.monotonic()) >= self._next:
            self._next = now + self._INTERVAL
            self._report.progress(self._done, self._total, f"{self._done} of {self._total} rows")


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
    answers: Sequence[Answer | None],
    metrics: dict[str, Any],
    terms: dict[str, str],
    config: JobConfig,
    report: Report,
) -> dict[str, str]:
    answered = [(request, answer) for request, answer in zip(plan.requests, answers, strict=True) if answer]
    reproducible = all(
        sampling.is_reproducible({**plan.parameters, **request.sampling}) for request, _ in answered
    )
    replay.write(replay.choose(answered, plan.requested, reproducible), config)
    lineage = {
        "base": {"source": plan.base.source, "digest": plan.base.digest},
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
