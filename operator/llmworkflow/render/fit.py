"""Whether what a stage's processes hold fits the accelerators that it asks for, and what would make it fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from llmworkflow.api.checks.adapters import adapter_rank, publishes_adapter
from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.batch import Adapter
from llmworkflow.api.spec.common import Parallelism, StageRef
from llmworkflow.api.spec.fine_tune import Distributed, FineTune
from llmworkflow.api.spec.serve import ServedModel
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.memory import GIB, MEMORY_GIB, Estimate, Shape, of_engine, of_training
from llmworkflow.render.ray_settings import effective_ray
from llmworkflow.render.settings import Settings
from llmworkflow.render.sizing import uses_accelerator

_OUTSIDE_RANK = 16  # of an adapter that no stage makes
_SPREADS = (2, 4, 8)
_SHORTEST = 1024  # tokens; what fits with fewer only does not fit


@dataclass(frozen=True)
class Fit:
    """One kind of process of a stage on one accelerator."""

    stage: str
    model: str  # that a serving stage answers by; nothing for the others
    type: str
    gib: float  # that the accelerator has, or the share of it that the stage takes
    estimate: Estimate
    remedies: tuple[str, ...] = field(default=())

    @property
    def fits(self) -> bool:
        """Whether the accelerator holds it."""
        return self.estimate.fits(self.gib)

    @property
    def room(self) -> float:
        """Bytes that may be taken."""
        return self.gib * GIB * self.estimate.share


def sources_of(workflow: LLMWorkflow, settings: Settings) -> list[str]:
    """The models whose shapes decide, where their stages have accelerators of a known memory."""
    found = [
        source
        for stage in workflow.spec.stages
        if _memory(workflow, stage, settings)
        for source in _sources(workflow, stage)
    ]
    return list(dict.fromkeys(found))


def fits_of(workflow: LLMWorkflow, shapes: Mapping[str, Shape], settings: Settings) -> Iterator[Fit]:
    """Every process that an accelerator holds, where the shape of its model is known."""
    for stage in workflow.spec.stages:
        memory = _memory(workflow, stage, settings)
        for source in _sources(workflow, stage) if memory else ():
            if memory and source in shapes:
                yield from _of_stage(workflow, stage, source, shapes[source], memory)


def _memory(workflow: LLMWorkflow, stage: Stage, settings: Settings) -> tuple[str, float] | None:
    """Type and GiB of the accelerator of a process."""
    accelerator = effective_ray(workflow, stage, settings).accelerator
    if accelerator is None or accelerator.type is None or not uses_accelerator(stage):
        return None
    gib = MEMORY_GIB.get(accelerator.type)
    return (accelerator.type, gib * min(1.0, accelerator.count)) if gib else None


def _sources(workflow: LLMWorkflow, stage: Stage) -> list[str]:
    base = workflow.spec.model.source
    if stage.serve:
        return list(dict.fromkeys(model.source or base for model in stage.serve.models))
    # LLaMA-Factory's YAML has its own arguments, and SGLang shares memory out in its own way.
    tuned = stage.fine_tune is not None and stage.fine_tune.engine != "trl"
    answered = stage.batch is not None and stage.batch.engine != "vllm"
    return [] if tuned or answered else [base]


def _of_stage(
    workflow: LLMWorkflow, stage: Stage, source: str, shape: Shape, memory: tuple[str, float]
) -> Iterator[Fit]:
    kind, gib = memory
    if stage.fine_tune:
        estimate = of_training(shape, stage.fine_tune)
        yield Fit(stage.name, "", kind, gib, estimate, _training(shape, stage.fine_tune, gib, estimate))
    if stage.batch:
        adapters = _adapters(workflow, stage.batch.model, stage.batch.adapters)
        engine = _Engine(shape, stage.batch.engine_kwargs, stage.batch.parallelism, adapters)
        yield engine.fit(stage.name, "", kind, gib)
    for model in stage.serve.models if stage.serve else ():
        if (model.source or workflow.spec.model.source) == source:
            engine = _Engine(shape, model.engine_kwargs, model.parallelism, _served(workflow, model))
            yield engine.fit(stage.name, model.model_id, kind, gib)


def _served(workflow: LLMWorkflow, model: ServedModel) -> tuple[int, int]:
    """An engine that serves adapters has room for as many as may answer at once, of the largest rank."""
    count, _ = _adapters(workflow, model.model, model.adapters)
    return (model.lora.max_loras, model.lora.max_rank) if count else (0, 0)


def _adapters(
    workflow: LLMWorkflow, model: StageRef | None, adapters: list[Adapter] | None
) -> tuple[int, int]:
    """How many adapters an engine holds, and their largest rank."""
    tunes = {stage.name: stage.fine_tune for stage in workflow.spec.stages}
    names = [adapter.stage for adapter in adapters or ()] or ([model.stage] if model else [])
    made = [tune for name in names if name and (tune := tunes.get(name))]
    ranks = [adapter_rank(tune) for tune in made if publishes_adapter(tune)]
    ranks += [_OUTSIDE_RANK for name in names if name is None]
    return len(ranks), max(ranks, default=0)


@dataclass(frozen=True)
class _Engine:
    """An engine as the spec asks for it."""

    shape: Shape
    kwargs: JsonObject
    parallelism: Parallelism
    adapters: tuple[int, int]

    def fit(self, stage: str, model: str, kind: str, gib: float) -> Fit:
        estimate = self._estimate()
        return Fit(
            stage, model, kind, gib, estimate, () if estimate.fits(gib) else self._remedies(estimate, gib)
        )

    def _estimate(self, tensor: int | None = None, longest: int | None = None) -> Estimate:
        kwargs = self.kwargs | ({"max_model_len": longest} if longest else {})
        spread = tensor or self.parallelism.tensor
        return of_engine(self.shape, kwargs, spread, self.parallelism.pipeline, self.adapters)

    def _remedies(self, estimate: Estimate, gib: float) -> tuple[str, ...]:
        shorter = estimate.longest // 2
        while shorter >= _SHORTEST and not self._estimate(longest=shorter).fits(gib):
            shorter //= 2
        spread = next(
            (
                tensor
                for tensor in _SPREADS
                if tensor > self.parallelism.tensor
                and self.shape.heads % tensor == 0
                and self._estimate(tensor=tensor).fits(gib)
            ),
            None,
        )
        return (
            *([f"engineKwargs.max_model_len: {shorter}"] if shorter >= _SHORTEST else []),
            *([f"parallelism.tensor: {spread}, with as many accelerators"] if spread else []),
            *_larger(estimate, gib),
            *([] if shorter >= _SHORTEST or spread else ["a quantised model"]),
        )


def _training(shape: Shape, tune: FineTune, gib: float, estimate: Estimate) -> tuple[str, ...]:
    """Changes of the training that would do, one at a time, and then the first two together."""
    if estimate.fits(gib):
        return ()
    checkpointing, one = {"gradient_checkpointing": True}, {"per_device_train_batch_size": 1}
    tries = {
        "training.gradientCheckpointing: true": _with(tune, **checkpointing),
        "training.perDeviceTrainBatchSize: 1": _with(tune, **one),
        "training.gradientCheckpointing: true with perDeviceTrainBatchSize: 1": _with(
            tune, **checkpointing, **one
        ),
    }
    if tune.training.distributed is None:  # which cannot spread what is quantised
        quantised = tune.model_copy(update={"method": "qlora"})
        tries["method: qlora"] = quantised
        tries["method: qlora with training.gradientCheckpointing: true"] = _with(quantised, **checkpointing)
    found = [told for told, tried in tries.items() if of_training(shape, tried).fits(gib)]
    return tuple(chain(found[:2], _spread(shape, tune, gib), _larger(estimate, gib)))


def _spread(shape: Shape, tune: FineTune, gib: float) -> Iterator[str]:
    """The fewest workers that hold the model together."""
    training, distributed = tune.training, tune.training.distributed or Distributed(fsdp={})
    for count in _SPREADS if tune.method != "qlora" else ():
        shared = training.global_batch_size % (training.per_device_train_batch_size * count) == 0
        workers = tune.workers.model_copy(update={"count": count, "min": None, "max": None})
        tried = _with(tune, distributed=distributed).model_copy(update={"workers": workers})
        if shared and of_training(shape, tried).fits(gib):
            yield f"workers.count: {count}" + (
                "" if training.distributed else " with training.distributed.fsdp: {}"
            )
            return


def _with(tune: FineTune, **changes: object) -> FineTune:
    return tune.model_copy(update={"training": tune.training.model_copy(update=changes)})


def _larger(estimate: Estimate, gib: float) -> list[str]:
    """The smallest accelerator that holds it."""
    enough = [(size, kind) for kind, size in MEMORY_GIB.items() if size > gib and estimate.fits(size)]
    return [f"an accelerator of {min(enough)[0]:g} GiB or more, such as {min(enough)[1]}"] if enough else []
