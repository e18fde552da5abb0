"""What a batch asks of engine sglang that it does not do here: refused, rather than passed over."""

from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.batch import Batch
from llmworkflow.api.spec.workflow import LLMWorkflow

_USE_VLLM = "use engine vllm"


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every batch with this engine."""
    for position, stage in enumerate(workflow.spec.stages):
        if stage.batch and stage.batch.engine == "sglang":
            yield from _answering(("spec", "stages", position, "batch"), stage.batch)


def _answering(path: Path, batch: Batch) -> Iterator[Problem]:
    if batch.task in ("http", "serve"):
        yield Problem(
            (*path, "engine"), f"task {batch.task} starts no engine", "remove engine", value="sglang"
        )
        return
    if batch.task != "generate":
        yield Problem((*path, "task"), "SGLang writes texts alone here", _USE_VLLM, value=batch.task)
    if batch.multimodal:
        yield Problem((*path, "multimodal"), "SGLang is shown no images here", _USE_VLLM)
    if batch.sampling.seed is not None and not batch.engine_kwargs.get("enable_deterministic_inference"):
        yield Problem(
            (*path, "sampling", "seed"),
            "SGLang reads seeds in its deterministic mode alone",
            "set engineKwargs.enable_deterministic_inference: true, or leave the seed out",
            value=batch.sampling.seed,
        )
    if batch.parallelism.pipeline != 1:
        yield Problem(
            (*path, "parallelism", "pipeline"),
            "Ray gives an SGLang engine the accelerators of tensor alone",
            "use tensor, or engine vllm",
            value=batch.parallelism.pipeline,
        )
    if batch.placement.strategy != "PACK":
        yield Problem(
            (*path, "placement", "strategy"),
            "the processes of an SGLang engine lie on one machine",
            "leave it at PACK, or use engine vllm",
            value=batch.placement.strategy,
        )
