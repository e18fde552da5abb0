"""The head of a status: what a person reads first, drawn from the stages."""

from typing import Any

from llmworkflow.api.status import LLMWorkflowStatus, Promotion, StageState
from llmworkflow.core import conditions
from llmworkflow.core.view import World


def head(world: World, before: LLMWorkflowStatus) -> dict[str, Any]:
    """The fields of a status that follow from its stages."""
    summary = conditions.summarise(world)
    serving, shown = _serving(world), conditions.stage_to_look_at(summary)
    return {
        "observed_generation": world.workflow.metadata.generation,
        "phase": conditions.phase(summary),
        "stage": shown.name,
        "attempt": shown.attempt or None,
        "score": _score(world),
        "url": (serving.url or "") if serving and summary.available else "",
        "conditions": conditions.conditions(world, summary, before.conditions),
        "serving": serving,
    }


def _serving(world: World) -> Promotion | None:
    """What the last serving stage that has something serves; one that is up goes before one that is not."""
    stages = [world.stages[name] for name in reversed(list(world.specs))]
    up = [stage for stage in stages if stage.state in (StageState.SERVING, StageState.UPGRADING)]
    return next((stage.serving for stage in (*up, *stages) if stage.serving), None)


def _score(world: World) -> str:
    """The first metric of the last stage that was measured, the gated ones before the others."""
    for name in reversed(list(world.specs)):
        stage, metrics = world.specs[name], world.stages[name].metrics
        scored = stage.batch.evaluate.metrics if stage.batch and stage.batch.evaluate else []
        for metric in (*(gate.metric for gate in stage.gates), *scored):
            if metric in metrics and metrics[metric].value is not None:
                return f"{metric} {metrics[metric].value:.4g}"
    return ""
