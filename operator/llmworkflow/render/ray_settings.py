"""Settings of one stage's Ray cluster: the stage's over the workflow's over the installation's."""

import math
from typing import Any

from llmworkflow.api.spec.common import Accelerator, EnvVar, RaySettings, Resources
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.render.errors import RenderError
from llmworkflow.render.quantity import number
from llmworkflow.render.settings import Settings
from llmworkflow.render.sizing import cpus_per_pod, uses_accelerator


def stage_named(workflow: LLMWorkflow, name: str) -> Stage:
    """The stage of that name."""
    return next(stage for stage in workflow.spec.stages if stage.name == name)


def chosen_ray(workflow: LLMWorkflow, stage: Stage) -> RaySettings:
    """What a stage sets, also an empty list, wins; head and worker are merged by field, `env` by name."""
    common, own = workflow.spec.ray, stage.ray or RaySettings()
    merged = {
        "head": resources_over(common.head, own.head),
        "worker": resources_over(common.worker, own.worker),
        "env": _by_name([*common.env, *own.env]),
    }
    return common.model_copy(update=own.given() | merged)


def effective_ray(workflow: LLMWorkflow, stage: Stage, settings: Settings) -> RaySettings:
    """What the stage or the workflow chose, with the installation's defaults below it.

    Raises:
        RenderError: the installation has no such accelerator.
    """
    chosen = chosen_ray(workflow, stage)
    accelerator = resolved_accelerator(chosen.accelerator, stage.name, settings)
    return chosen.model_copy(
        update={
            "image": chosen.image or settings.image,
            "head": resources_over(settings.head, chosen.head),
            "worker": _worker(stage, chosen.worker, accelerator, settings),
            "accelerator": accelerator,
        }
    )


def _worker(
    stage: Stage, chosen: Resources | None, accelerator: Accelerator | None, settings: Settings
) -> Resources:
    """The worker; the installation's CPUs are raised to what the processes of a pod take, or Ray would place none."""
    worker = resources_over(settings.worker, chosen)
    if (chosen and chosen.cpu is not None) or worker.cpu is None or "num-cpus" in worker.ray_start_params:
        return worker
    taken = math.ceil(cpus_per_pod(stage, accelerator if uses_accelerator(stage) else None))
    return worker.model_copy(update={"cpu": taken}) if taken > number(worker.cpu) else worker


def resolved_accelerator(wanted: Accelerator | None, stage: str, settings: Settings) -> Accelerator | None:
    """The accelerator with what its profile brings; None means CPUs (unset, or a count of 0).

    Raises:
        RenderError: the installation has no profile of that name.
    """
    if wanted is None or wanted.count == 0:
        return None
    if wanted.name is None:
        return wanted
    profile = settings.accelerators.get(wanted.name)
    if profile is None:
        raise RenderError(
            f"stage {stage}: ray.accelerator.name is {wanted.name!r}, and the installation has "
            f"{', '.join(sorted(settings.accelerators)) or 'no profiles'}; choose one of them, or write out "
            "type, nodeSelector and tolerations"
        )
    return profile.model_copy(update=wanted.given() | {"count": wanted.count})


def resources_over(*layers: Resources | None) -> Resources:
    """The layers merged by field, later ones over earlier ones; of a worker group, what it shares with others."""
    chosen: dict[str, Any] = {}
    for layer in layers:
        chosen |= layer.given() if layer else {}
    return Resources(**{name: value for name, value in chosen.items() if name in Resources.model_fields})


def _by_name(variables: list[EnvVar]) -> list[EnvVar]:
    return list({variable.name: variable for variable in variables}.values())
