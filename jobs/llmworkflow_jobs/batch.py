"""The batch job: `python -m llmworkflow_jobs.batch`.

The driver reads and checks the rows, has vLLM engines in Ray actors answer them, and publishes one row for each row
that it took, with the scores over all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from llmworkflow_jobs import replay, report, rows, sampling, storage
from llmworkflow_jobs.batch_plan import Plan, prepare
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.evaluate import Scored, evaluate
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.rows import Answer, Request

# Folder of the rows inside the artifact.
ROWS = "rows"

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

    from llmworkflow_jobs.generation import generate

    ray.init(logging_level=logging.WARNING)
    started = time.monotonic()
    stream = generate(plan.requests, plan.model, plan.parameters, config)
    answers = collect(plan.requests, stream, config.section["onRowError"], report)
    seconds = time.monotonic() - started

    limit = plan.parameters["max_tokens"]
    results = [
        rows.result(request, answer, plan.columns, limit)
        for request, answer in zip(plan.requests, answers, strict=True)
    ]
    metrics = _scores(results, config) | _rates(results, seconds)
    artifact = _publish(plan, answers, results, metrics, config, report)
    report.metrics(metrics)
    report.succeed(artifact)


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


def _scores(results: Sequence[Row], config: JobConfig) -> dict[str, Any]:
    """The metrics that `evaluate` asks for, and how many rows there are, failed and were cut at maxTokens."""
    scored = [Scored(row["generated_text"], row["reference"], row["truncated"]) for row in results]
    names = (config.section["evaluate"] or {}).get("metrics", ())
    return {
        **{name: asdict(score) for name, score in evaluate(scored, names).items()},
        "rows": len(results),
        "rowErrors": sum(row["error"] is not None for row in results),
        "rowsTruncated": sum(row["truncated"] for row in results),
    }


def _rates(results: Sequence[Row], seconds: float) -> dict[str, float]:
    """Throughput over `seconds`, which include the start of the engines."""
    tokens = sum(row["num_generated_tokens"] for row in results)
    return {"rowsPerSecond": len(results) / seconds, "outputTokensPerSecond": tokens / seconds}


def _publish(
    plan: Plan,
    answers: Sequence[Answer | None],
    results: Sequence[Row],
    metrics: dict[str, Any],
    config: JobConfig,
    report: Report,
) -> dict[str, str]:
    filesystem, folder = storage.open_uri(f"{config.output_uri}/{ROWS}", config)
    rows.write(results, config.section["output"]["format"], filesystem, folder)
    answered = [(request, answer) for request, answer in zip(plan.requests, answers, strict=True) if answer]
    reproducible = sampling.is_reproducible(plan.parameters)
    replay.write(replay.choose(answered, plan.requested, reproducible), config)
    lineage = {
        "base": {"source": plan.base.source, "digest": plan.base.digest},
        "model": config.inputs[config.section["model"]["stage"]]["artifact"]
        if config.section["model"]
        else None,
        "adapters": _adapters(config),
        "data": {uri: digest for uri, digest in report.digests.items() if uri != plan.base.source},
        "sampling": plan.parameters,
        "seed": config.section["input"]["seed"],
        "metrics": metrics,
    }
    return storage.publish(config, "rows", [ROWS, replay.FILE], lineage)


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
