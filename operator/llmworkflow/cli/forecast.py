"""What a run would do, told from the file and the status alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageStatus
from llmworkflow.core.asking import tried_again
from llmworkflow.core.revision import revisions
from llmworkflow.render.ray_settings import effective_ray
from llmworkflow.render.settings import Settings
from llmworkflow.render.sizing import uses_accelerator


@dataclass(frozen=True)
class Step:
    """What would become of one stage."""

    stage: str
    kind: str
    action: str
    why: str
    gpus: float


def forecast(workflow: LLMWorkflow, status: LLMWorkflowStatus, local: bool) -> Iterator[Step]:
    """The stages in order: which are created, run again, reused or served anew.

    What failed is tried again by a run on one machine; on a cluster, where files are applied over and over, by `retry`.
    """
    wanted = revisions(workflow, status.resolved)
    before = {stage.name: stage for stage in status.stages}
    again = tried_again(workflow, status)
    for stage in workflow.spec.stages:
        if stage.name in again:
            action, why = _after_failure(workflow, before[stage.name], local)
        else:
            action, why = _action(stage, wanted[stage.name], before.get(stage.name), status)
        gpus = 0.0 if action in ("reuse", "stay failed") else _gpus(workflow, stage)
        yield Step(stage.name, stage.kind, action, why, gpus)


def _action(
    stage: Stage, revision: str, before: StageStatus | None, status: LLMWorkflowStatus
) -> tuple[str, str]:
    if before is None or before.revision is None:
        return "create", "never ran"
    if any(result.revision == revision for result in before.results):
        return "reuse", f"revision {revision} is done"
    if stage.serve:
        served = status.serving is not None and status.serving.revision == revision
        return ("serve", f"revision {revision}") if served else ("promote", f"to revision {revision}")
    if before.revision == revision:
        return "go on", f"revision {revision} is not done, attempt {before.attempt}"
    return "run again", f"revision {before.revision} became {revision}"


def _after_failure(workflow: LLMWorkflow, before: StageStatus, local: bool) -> tuple[str, str]:
    failed = f"attempt {before.attempt} failed ({before.reason})"
    if local:
        return "try again", failed
    return "stay failed", f"{failed}: `llmworkflow retry {workflow.metadata.name} --from {before.name}`"


def _gpus(workflow: LLMWorkflow, stage: Stage) -> float:
    """Accelerators that the stage takes at most."""
    accelerator = effective_ray(workflow, stage, Settings()).accelerator
    if accelerator is None or not uses_accelerator(stage):
        return 0.0
    return accelerator.count * _processes(stage)


def _processes(stage: Stage) -> int:
    if stage.fine_tune:
        return stage.fine_tune.workers.max or stage.fine_tune.workers.count
    if stage.batch:
        parallel = stage.batch.parallelism
        return stage.batch.concurrency * parallel.tensor * parallel.pipeline
    if stage.serve:
        return sum(
            model.replicas.max * model.parallelism.tensor * model.parallelism.pipeline
            for model in stage.serve.models
        )
    return 0
