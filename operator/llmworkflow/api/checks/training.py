"""Training arguments fit each other, the workers and the cluster."""

from collections.abc import Iterator

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.fine_tune import FineTune
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow

_STAGES = (0, 1, 2, 3)  # of DeepSpeed's ZeRO


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every fineTune section."""
    for position, stage in enumerate(workflow.spec.stages):
        if stage.fine_tune:
            path: Path = ("spec", "stages", position, "fineTune")
            if stage.fine_tune.engine == "trl":  # the other one has its own arguments
                yield from _one_layer(path, stage.fine_tune)
                yield from _not_of_objective(path, stage.fine_tune)
                yield from _uneven_batch(path, stage.fine_tune)
                yield from _unspread(path, stage.fine_tune)
            yield from _no_best(path, stage.fine_tune)
            yield from _elastic_in_queue(path, stage, workflow)
            yield from _needs_accelerator(path, stage, workflow)


def _one_layer(path: Path, tune: FineTune) -> Iterator[Problem]:
    name = tune.lora.target_modules
    if isinstance(name, str) and name != "all":
        told = "is neither all nor a list of names"
        yield Problem((*path, "lora", "targetModules"), told, f"write [{name}]", value=name)


def _not_of_objective(path: Path, tune: FineTune) -> Iterator[Problem]:
    """What cannot be done where responses are compared."""
    training, objective = tune.training, tune.objective
    if objective not in ("dpo", "kto"):
        return
    if training.packing:
        told = f"objective {objective} cannot have what it compares put apart"
        yield Problem((*path, "training", "packing"), told, "leave it out", value=True)
    if training.loss_on != "completion":
        told = f"objective {objective} compares responses alone"
        yield Problem((*path, "training", "lossOn"), told, "leave it out", value=training.loss_on)
    if objective == "kto" and training.per_device_train_batch_size == 1 and not tune.preference.loss_type:
        yield Problem(
            (*path, "training", "perDeviceTrainBatchSize"),
            "objective kto compares the rows of a batch",
            "set it to 2 or more",
            value=1,
        )


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


def _unspread(path: Path, tune: FineTune) -> Iterator[Problem]:
    """What of a model that is spread over the workers cannot be, or would not be."""
    distributed, workers = tune.training.distributed, tune.workers
    where = (*path, "training", "distributed")
    if distributed is None:
        return
    if tune.method == "qlora":
        yield Problem(
            where, "weights that method qlora has quantised cannot be spread", "use lora, or leave it out"
        )
    if distributed.deepspeed is not None:
        yield from _unspread_by_deepspeed((*where, "deepspeed"), distributed.deepspeed, tune)
    if distributed.fsdp is not None and (workers.min or workers.count) == 1:
        yield Problem(
            (*where, "fsdp"),
            "there is one worker, and nothing to spread the model over",
            f"set workers.{'count' if workers.min is None else 'min'} to 2 or more",
        )


def _unspread_by_deepspeed(path: Path, options: JsonObject, tune: FineTune) -> Iterator[Problem]:
    if tune.workers.min is not None:
        yield Problem(
            path,
            "its checkpoints are for the number of workers that wrote them",
            "set workers.count in place of min and max, or use fsdp",
        )
    zero = options.get("zero_optimization", {})
    stage = zero.get("stage", _STAGES[-1]) if isinstance(zero, dict) else zero
    if stage not in _STAGES:
        yield Problem(
            (*path, "zero_optimization", "stage"),
            "is no stage of ZeRO",
            f"set one of {', '.join(map(str, _STAGES))}",
            value=str(stage),
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
    distributed = stage.fine_tune.training.distributed
    if distributed and distributed.deepspeed is not None:
        yield Problem(
            (*path, "training", "distributed", "deepspeed"), "needs a GPU", "set ray.accelerator, or use fsdp"
        )
    if stage.fine_tune.training.precision == "fp16":
        yield Problem(
            (*path, "training", "precision"),
            "needs a GPU",
            "set ray.accelerator, or use bf16 or fp32",
            value=stage.fine_tune.training.precision,
        )
