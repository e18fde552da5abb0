"""What a run would do, told from the file and the status alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageStatus
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


def forecast(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> Iterator[Step]:
    """The stages in order: which are created, run again, reused or served anew."""
    wanted = revisions(workflow, status.resolved)
    before = {stage.name: stage for stage in status.stages}
    for stage in workflow.spec.stages:
        action, why = _action(stage, wanted[stage.name], before.get(stage.name), status)
        gpus = 0.0 if action == "reuse" else _gpus(workflow, stage)
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
