"""Where the stages of a workflow stand, and since when: what is remembered of them for Prometheus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from llmworkflow.api.status import Progress, StageState, StageStatus

_AT_REST = (StageState.WAITING, StageState.SUCCEEDED, StageState.SERVING, StageState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Standing:
    """One stage."""

    name: str
    kind: str
    state: StageState
    reason: str
    attempt: int
    progress: Progress | None
    since: float  # when any of these last changed

    @property
    def at_rest(self) -> bool:
        """Whether nobody waits for it to change."""
        return self.state in _AT_REST


def standings(stages: Iterable[StageStatus], before: Sequence[Standing], now: float) -> tuple[Standing, ...]:
    """The stages as they stand; what has not changed has stood so for as long as before."""
    known = {standing.name: standing for standing in before}
    return tuple(_standing(stage, known.get(stage.name), now) for stage in stages)


def _standing(stage: StageStatus, before: Standing | None, now: float) -> Standing:
    seen = Standing(
        stage.name, stage.kind, stage.state, stage.reason, stage.attempt, stage.progress, _since(stage, now)
    )
    return before if before and _told(before) == _told(seen) else seen


def _since(stage: StageStatus, now: float) -> float:
    """The status says when a stage failed, also to an operator that was not there."""
    if stage.state is StageState.FAILED and stage.finished_at:
        return datetime.fromisoformat(stage.finished_at).timestamp()
    return now


def _told(standing: Standing) -> tuple[object, ...]:
    return standing.state, standing.reason, standing.attempt, standing.progress
