"""Fields of a batch that fit its task and its engine."""

import re
from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem, did_you_mean
from llmworkflow.api.spec.batch import Batch
from llmworkflow.api.spec.workflow import LLMWorkflow


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every batch section."""
    for position, stage in enumerate(workflow.spec.stages):
        if stage.batch:
            path: Path = ("spec", "stages", position, "batch")
            yield from _answer_too_long(path, stage.batch)
            yield from _model_unused(path, stage.batch)
            yield from _names_a_call(path, stage.batch)
            yield from _not_served(path, stage.batch, workflow)
            yield from _cannot_be_scored(path, stage.batch)
            yield from _cannot_be_seen(path, stage.batch)


def _answer_too_long(path: Path, batch: Batch) -> Iterator[Problem]:
    name = "context_length" if batch.engine == "sglang" else "max_model_len"
    longest = batch.engine_kwargs.get(name)
    if isinstance(longest, int) and batch.sampling.max_tokens >= longest:
        yield Problem(
            (*path, "sampling", "maxTokens"),
            f"leaves no room for a prompt in engineKwargs.{name} {longest}",
            f"lower maxTokens, or raise {name}",
            value=batch.sampling.max_tokens,
        )


def _model_unused(path: Path, batch: Batch) -> Iterator[Problem]:
    if batch.task in ("http", "serve") and (batch.model or batch.adapters):
        field = "model" if batch.model else "adapters"
        endpoint = "http.url" if batch.task == "http" else "through"
        yield Problem(
            (*path, field),
            f"task {batch.task} answers through {endpoint} and loads no model",
            f"remove {field}",
        )


def _names_a_call(path: Path, batch: Batch) -> Iterator[Problem]:
    """Requests go to /chat/completions below the address."""
    call = re.search(r"/(chat/)?completions/*$", batch.http.url) if batch.http else None
    if batch.http and call:
        yield Problem(
            (*path, "http", "url"),
            "is the address of a call, not of the endpoint",
            f"write {batch.http.url[: call.start()]}",
            value=batch.http.url,
        )


def _not_served(path: Path, batch: Batch, workflow: LLMWorkflow) -> Iterator[Problem]:
    if batch.through is None or batch.through.model is None:
        return
    stages = {stage.name: stage.serve for stage in workflow.spec.stages}
    serve = stages.get(batch.through.stage)
    names = [model.model_id for model in serve.models] if serve else []
    wanted = batch.through.model.partition(":")[0]  # without an adapter
    if serve and wanted not in names:
        yield Problem(
            (*path, "through", "model"),
            f"stage {batch.through.stage} serves no model of this name",
            did_you_mean(wanted, names),
            value=batch.through.model,
        )


def _cannot_be_scored(path: Path, batch: Batch) -> Iterator[Problem]:
    if batch.task == "embed" and batch.evaluate:
        yield Problem((*path, "evaluate"), "a vector is no answer that a metric compares", "remove evaluate")


def _cannot_be_seen(path: Path, batch: Batch) -> Iterator[Problem]:
    if batch.multimodal is None or batch.task in ("http", "serve"):
        return
    if batch.task != "generate":
        yield Problem((*path, "multimodal"), "only texts have vectors and classes here", "remove multimodal")
    elif batch.multimodal.kind != "image":
        yield Problem(
            (*path, "multimodal", "kind"),
            "the batch's own engine is shown images alone",
            "serve the model, and ask it by task serve",
            value=batch.multimodal.kind,
        )
