"""Evaluations name metrics that exist and that the data can answer."""

import re
from collections.abc import Iterator

from llmworkflow.api.metrics import EVALUATION_METRICS, REFERENCE_METRICS
from llmworkflow.api.problems import Path, Problem, did_you_mean
from llmworkflow.api.spec.batch import Batch, Evaluate
from llmworkflow.api.spec.model import Prompt
from llmworkflow.api.spec.workflow import LLMWorkflow

_OWN_METRIC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every batch.evaluate."""
    for position, stage in enumerate(workflow.spec.stages):
        if stage.batch and stage.batch.evaluate:
            path: Path = ("spec", "stages", position, "batch", "evaluate")
            yield from _bad_metrics(path, stage.batch.evaluate, stage.batch.prompt, workflow.spec.prompt)
            yield from _bad_pattern(path, stage.batch.evaluate)
            yield from _too_few_rows(path, stage.batch.evaluate, stage.batch)


def _bad_metrics(path: Path, evaluate: Evaluate, own: Prompt | None, common: Prompt) -> Iterator[Problem]:
    prompt, holder = (own, "batch.prompt") if own else (common, "spec.prompt")
    for place, metric in enumerate(evaluate.metrics):
        where = (*path, "metrics", place)
        if metric not in EVALUATION_METRICS and not _OWN_METRIC.fullmatch(metric):
            remedy = (
                f"give module:function for one of your own, or {did_you_mean(metric, EVALUATION_METRICS)}"
            )
            yield Problem(where, "there is no metric of this name", remedy, value=metric)
        if metric in evaluate.metrics[:place]:
            yield Problem(where, "is listed twice", "remove one", value=metric)
        if metric in REFERENCE_METRICS and prompt.custom and prompt.custom.response is None:
            remedy = f"set {holder}.custom.response"
            yield Problem(where, "has no reference to compare with", remedy, value=metric)


def _bad_pattern(path: Path, evaluate: Evaluate) -> Iterator[Problem]:
    try:
        re.compile(evaluate.regex or "")
    except re.error as error:
        told = f"is no regular expression of Python: {error}"
        yield Problem((*path, "regex"), told, "correct it", value=evaluate.regex)
        return
    if evaluate.regex is not None and "regex" not in evaluate.metrics:
        remedy = "add regex to metrics, or remove it"
        yield Problem((*path, "regex"), "no metric reads it", remedy, value=evaluate.regex)


def _too_few_rows(path: Path, evaluate: Evaluate, batch: Batch) -> Iterator[Problem]:
    items = len(batch.input.items) if batch.input.items is not None else None
    most = min((count for count in (batch.input.limit, items) if count is not None), default=None)
    if evaluate.min_rows and most is not None and evaluate.min_rows > most:
        yield Problem(
            (*path, "minRows"),
            f"no gate can pass: the input has at most {most} rows",
            "raise the input's limit, or lower minRows",
            value=evaluate.min_rows,
        )
