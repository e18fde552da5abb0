"""Training arguments fit each other, the workers and the cluster."""

from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.fine_tune import FineTune
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every fineTune section."""
    for position, stage in enumerate(workflow.spec.stages):
        if stage.fine_tune:
            path: Path = ("spec", "stages", position, "fineTune")
            if stage.fine_tune.engine == "trl":  # the other one has its own arguments
                yield from _uneven_batch(path, stage.fine_tune)
            yield from _no_best(path, stage.fine_tune)
            yield from _elastic_in_queue(path, stage, workflow)
            yield from _needs_accelerator(path, stage, workflow)


def _uneven_batch(path: Path, tune: FineTune) -> Iterator[Problem]:
    training, workers = tune.training, tune.workers
    counts = [workers.count] if workers.min is None else [workers.min, workers.max or workers.min]
    for count in dict.fromkeys(counts):
        together = training.per_device_train_batch_size * count
        if training.global_batch_size % together:
            yield Problem(
                (*path, "training", "globalBatchSize"),
                f"cannot be shared by {count} workers with perDeviceTrainBatchSize "
                f"{training.per_device_train_batch_size}",
                f"make it a multiple of {together}",
                value=training.global_batch_size,
            )


def _no_best(path: Path, tune: FineTune) -> Iterator[Problem]:
    training = tune.training
    where = (*path, "training", "loadBest")
    if not training.load_best or tune.data is None:
        return
    if tune.data.validation is None and tune.data.split is None:
        yield Problem(
            where,
            "the best checkpoint is told by validation rows, and there are none",
            "set data.validation or data.split",
            value=True,
        )
    elif training.save_steps % training.eval_steps:
        yield Problem(
            where,
            f"checkpoints, every {training.save_steps} steps, fall between evaluations, every {training.eval_steps}",
            "make saveSteps a multiple of evalSteps",
            value=True,
        )


def _elastic_in_queue(path: Path, stage: Stage, workflow: LLMWorkflow) -> Iterator[Problem]:
    queue = (stage.ray and stage.ray.queue) or workflow.spec.ray.queue
    if queue and stage.fine_tune and stage.fine_tune.workers.min is not None:
        yield Problem(
            (*path, "workers", "min"),
            f"elastic workers cannot wait in a queue ({queue}), which admits a fixed number",
            "set workers.count, or take ray.queue away",
            value=stage.fine_tune.workers.min,
        )


def _needs_accelerator(path: Path, stage: Stage, workflow: LLMWorkflow) -> Iterator[Problem]:
    if not stage.fine_tune or (stage.ray and stage.ray.accelerator) or workflow.spec.ray.accelerator:
        return
    if stage.fine_tune.method == "qlora":
        yield Problem(
            (*path, "method"), "needs a GPU", "set ray.accelerator, or use lora", value=stage.fine_tune.method
        )
    if stage.fine_tune.training.precision == "fp16":
        yield Problem(
            (*path, "training", "precision"),
            "needs a GPU",
            "set ray.accelerator, or use bf16 or fp32",
            value=stage.fine_tune.training.precision,
        )
