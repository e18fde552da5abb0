"""What a workflow would create if every stage ran for the first time, and succeeded."""

from collections.abc import Iterator

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Resolved
from llmworkflow.core import names
from llmworkflow.core.actions import CreateChild, Input, Work
from llmworkflow.core.graph import references, replayed
from llmworkflow.core.revision import revisions
from llmworkflow.core.revision import settings as settings_digest
from llmworkflow.render.manifests import render
from llmworkflow.render.settings import JobCode, Settings

ATTEMPT = 1


def render_all(workflow: LLMWorkflow, settings: Settings, code: JobCode) -> list[JsonObject]:
    """The manifests of all stages, each object once; what earlier stages will have made is still unknown in them.

    Raises:
        RenderError: a stage asks for what the installation or this version does not have.
    """
    found: dict[tuple[str, str], JsonObject] = {}
    for action in first_actions(workflow):
        for manifest in render(workflow, action, settings, code):
            found.setdefault((manifest["kind"], manifest["metadata"]["name"]), manifest)
    return list(found.values())


def first_actions(workflow: LLMWorkflow) -> Iterator[CreateChild]:
    """The creation of every stage's first child."""
    found = revisions(workflow, Resolved())
    stages = {stage.name: stage for stage in workflow.spec.stages}
    for stage in workflow.spec.stages:
        replay = replayed(workflow.spec, stage)
        needed = [*references(stage), *([replay] if replay else [])]
        inputs = {name: Input(name, stages[name].kind, found[name], ATTEMPT, None) for name in needed}
        work = Work(
            stage.name,
            stage.kind,
            found[stage.name],
            ATTEMPT,
            inputs=inputs,
            settings=settings_digest(workflow, stage),
            replay=replay,
        )
        yield _creation(workflow, stage, work)


def _creation(workflow: LLMWorkflow, stage: Stage, work: Work) -> CreateChild:
    metadata = workflow.metadata
    if stage.serve:
        return CreateChild("RayService", names.service_name(metadata.name, stage.name), work)
    name = names.job_name(metadata.name, metadata.uid, stage.name, work.revision, work.attempt)
    return CreateChild("RayJob", name, work)
