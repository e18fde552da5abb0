"""An engine is spread over as many accelerators as its pods are counted for."""

import math
from collections.abc import Iterator

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.common import Accelerator, Parallelism
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow

_Engine = tuple[Path, Parallelism, JsonObject]
"""Where an engine is written, how it is spread, and its own options."""


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of options by which vLLM would take other accelerators than `parallelism` says."""
    for position, stage in enumerate(workflow.spec.stages):
        accelerator = (stage.ray and stage.ray.accelerator) or workflow.spec.ray.accelerator
        if accelerator and accelerator.count:
            for path, parallelism, options in _engines(stage):
                yield from _uncounted(("spec", "stages", position, *path), parallelism, options, accelerator)


def _engines(stage: Stage) -> Iterator[_Engine]:
    if stage.batch and stage.batch.task not in ("http", "serve"):
        yield ("batch",), stage.batch.parallelism, stage.batch.engine_kwargs
    for position, model in enumerate(stage.serve.models if stage.serve else []):
        yield ("serve", "models", position), model.parallelism, model.engine_kwargs


def _uncounted(
    path: Path, parallelism: Parallelism, options: JsonObject, accelerator: Accelerator
) -> Iterator[Problem]:
    """An engine that `parallelism` does not spread takes the accelerators of one pod."""
    counted = {"tensor": parallelism.tensor, "pipeline": parallelism.pipeline}
    asked = {field: size for field in counted if isinstance(size := options.get(_option(field)), int)}
    spread = math.prod(counted.values()) * parallelism.data > 1
    if not spread and math.prod({**counted, **asked}.values()) <= math.ceil(accelerator.count):
        return
    for field, size in asked.items():
        if size != counted[field]:
            yield Problem(
                (*path, "engineKwargs", _option(field)),
                f"pods are counted for parallelism.{field} {counted[field]}",
                f"remove it, and set parallelism.{field}",
                value=size,
            )


def _option(field: str) -> str:
    """What vLLM calls it."""
    return f"{field}_parallel_size"
