"""The schedule's turn: every job runs again, unless a run is under way."""

from collections.abc import Iterator

from llmworkflow.api.names import Reason
from llmworkflow.api.status import ScheduleStatus, StageState, StageStatus
from llmworkflow.core.conditions import summarise
from llmworkflow.core.policies.rerun import again
from llmworkflow.core.schedule import Turn, turn
from llmworkflow.core.view import World


def look_at_clock(world: World, before: ScheduleStatus | None) -> Turn:
    """What the schedule asks for at this look."""
    spec = world.workflow.spec
    return turn(spec.schedule, before, world.now, spec.suspend, under_way(world))


def run_all(world: World, due: ScheduleStatus) -> Iterator[StageStatus]:
    """All stages before another run, but for those that people stopped; what they took back stays so."""
    for name in world.specs:
        status = world.stages[name]
        if status.state is StageState.CANCELLED:
            continue
        next_run = again(world.view(name), Reason.SCHEDULED, f"run again, as the schedule says ({due.times})")
        taken_back = status.refused and status.refused.reason == Reason.ROLLED_BACK
        yield next_run.model_copy(update={"refused": status.refused}) if taken_back else next_run


def under_way(world: World) -> str:
    """What a run is at, or waits for a person to say; nothing between runs."""
    summary = summarise(world)
    busy = [stage for stage in summary.working if stage.state is not StageState.DEGRADED]
    awaited = [stage for stage in summary.stages if stage.reason == Reason.APPROVAL]
    return "; ".join(f"{stage.name} was {stage.state}" for stage in (*busy, *awaited)[:1])
