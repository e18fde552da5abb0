"""How many worker pods a stage needs: how many processes it runs, and how many of them a pod holds."""

import math
from dataclasses import dataclass

from llmworkflow.api.spec.batch import StepResources
from llmworkflow.api.spec.common import Accelerator, Parallelism
from llmworkflow.api.spec.fine_tune import Workers
from llmworkflow.api.spec.serve import ServedModel
from llmworkflow.api.spec.stage import Stage
from llmworkflow.render.quantity import number


@dataclass(frozen=True)
class PodRange:
    """Fewest and most pods of a worker group."""

    min: int
    max: int

    @property
    def scales(self) -> bool:
        """Whether Ray's autoscaler has to choose."""
        return self.max > self.min


def uses_accelerator(stage: Stage) -> bool:
    """Whether the stage runs a model itself; requests to an endpoint and downloads need CPUs alone."""
    if stage.batch:
        return stage.batch.task not in ("http", "serve")
    return stage.prefetch is None


def accelerators_per_pod(accelerator: Accelerator) -> int:
    """Whole accelerators that a pod takes; a part of one is shared by the processes of a pod."""
    return max(1, math.ceil(accelerator.count))


def worker_pods(stage: Stage, accelerator: Accelerator | None) -> PodRange:
    """The pods of the stage's own worker group."""
    if stage.fine_tune:
        return _training_pods(stage.fine_tune.workers, accelerator)
    if stage.serve:
        return _serving_pods(stage.serve.models, accelerator)
    if stage.batch and uses_accelerator(stage):
        pods = math.ceil(stage.batch.concurrency * _pods_per_engine(stage.batch.parallelism, accelerator))
        return PodRange(pods, pods)
    return PodRange(1, 1)


def cpus_per_pod(stage: Stage, accelerator: Accelerator | None) -> float:
    """CPUs of Ray that the processes of one pod take together; 0 where a stage has none of its own."""
    together = _processes_per_pod(accelerator)
    if stage.fine_tune:
        workers = stage.fine_tune.workers
        return min(together, workers.max or workers.count) * (workers.cpu or 1)
    if stage.serve:
        engines = sum(model.replicas.max * _processes(model.parallelism) for model in stage.serve.models)
        beside = 1 + len(stage.serve.applications)  # the ingress, and a replica of each
        return min(together, engines) + beside
    if stage.batch and uses_accelerator(stage):
        steps = (stage.batch.pipeline.preprocess, stage.batch.pipeline.postprocess)
        own = sum(number(step.cpu or 1) for step in steps if step != StepResources())
        return min(together, stage.batch.concurrency * _processes(stage.batch.parallelism)) + float(own)
    return 0


def _training_pods(workers: Workers, accelerator: Accelerator | None) -> PodRange:
    together = _processes_per_pod(accelerator)
    fewest, most = workers.min or workers.count, workers.max or workers.count
    return PodRange(math.ceil(fewest / together), math.ceil(most / together))


def _serving_pods(models: list[ServedModel], accelerator: Accelerator | None) -> PodRange:
    pods = [(model.replicas, _pods_per_engine(model.parallelism, accelerator)) for model in models]
    return PodRange(
        math.ceil(sum(replicas.min * each for replicas, each in pods)),
        math.ceil(sum(replicas.max * each for replicas, each in pods)),
    )


def _pods_per_engine(parallelism: Parallelism, accelerator: Accelerator | None) -> float:
    """Pods that an engine fills; less than one where engines share an accelerator.

    Unless it is told how to spread, an engine takes all accelerators of its pod.
    """
    processes = _processes(parallelism)
    if processes == 1 and accelerator and accelerator.count > 1:
        return 1
    return processes / _processes_per_pod(accelerator)


def _processes(parallelism: Parallelism) -> int:
    """Processes of an engine."""
    return parallelism.tensor * parallelism.pipeline * parallelism.data


def _processes_per_pod(accelerator: Accelerator | None) -> int:
    """One on CPUs, else one for each accelerator or each share of it."""
    if accelerator is None:
        return 1
    if accelerator.count < 1:
        return math.floor(1 / accelerator.count)
    return accelerators_per_pod(accelerator)
