"""A stage waits for the stages that it depends on."""

from llmworkflow.api.names import Reason
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.commands import retry_from
from llmworkflow.core.graph import dependencies
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.view import View, World


def unmet(view: View) -> Hold | None:
    """What keeps the stage from its turn: a dependency that failed, or that is not done for this spec."""
    world = view.world
    found = [world.stages[name] for name in dependencies(world.workflow.spec, view.stage)]
    if broken := _to_mend(world, view.stage):
        because = "; ".join(f"{status.name} is {status.state} ({status.reason})" for status in broken)
        remedy = f"mend it by an edit, or run `{retry_from(view.metadata, broken[0].name)}`"
        return Hold(StageState.WAITING, Reason.DEPENDENCY_FAILED, f"{because}; {remedy}")
    if waiting := [status.name for status in found if not met(status, world.revisions[status.name])]:
        return Hold(StageState.WAITING, Reason.DEPENDENCIES, f"waits for {', '.join(waiting)}")
    return None


def met(status: StageStatus, revision: str) -> bool:
    """Whether a stage is done for the revision that the spec asks for.

    An endpoint that serves something older than what was made for it says why by its reason.
    """
    serves = status.state is StageState.SERVING and status.reason == Reason.SERVING
    return (serves or status.state is StageState.SUCCEEDED) and status.revision == revision


def _to_mend(world: World, stage: Stage) -> list[StageStatus]:
    """The stages on the way to this one that will not be done by themselves, less those that only wait for others."""
    broken: dict[str, StageStatus] = {}
    pending = [stage]
    while pending:
        for name in dependencies(world.workflow.spec, pending.pop()):
            status = world.stages[name]
            if name not in broken and _broken(status, world.revisions[name]):
                broken[name] = status
                pending += [world.specs[name]] if status.reason == Reason.DEPENDENCY_FAILED else []
    roots = [status for status in broken.values() if status.reason != Reason.DEPENDENCY_FAILED]
    return roots or list(broken.values())


def _broken(status: StageStatus, revision: str) -> bool:
    """Whether a stage will not be done by itself."""
    if status.state in (StageState.FAILED, StageState.CANCELLED):
        return True
    if status.refused and status.refused.revision == revision and status.revision != revision:
        return True
    return status.reason == Reason.DEPENDENCY_FAILED
