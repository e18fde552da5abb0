"""Phase and conditions of a workflow, derived from where its stages stand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from llmworkflow.api.names import ConditionType, Reason
from llmworkflow.api.status import Condition, LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.core.clock import stamp
from llmworkflow.core.policies.dependencies import met
from llmworkflow.core.states import clip
from llmworkflow.core.view import World

_S = StageState
_WORKING = (_S.STARTING, _S.RUNNING, _S.STOPPING, _S.CHECKING, _S.UPGRADING, _S.DEGRADED)
_AVAILABLE = (_S.SERVING, _S.UPGRADING)
_SELF_ENDING = (Reason.BACKOFF, Reason.NAME_BUSY, Reason.QUEUED, Reason.STOPPING)


@dataclass(frozen=True)
class Summary:
    """What counts of the stages, asked for once."""

    stages: Sequence[StageStatus]  # of the spec, in its order
    done: Sequence[StageStatus]
    suspended: bool

    @property
    def ready(self) -> bool:
        """What the spec asks for is served, or finished."""
        return len(self.done) == len(self.stages)

    @property
    def failed(self) -> list[StageStatus]:
        """Stages that failed for good, and serving ones whose successor did."""
        return [stage for stage in self.stages if stage.state is _S.FAILED or _refused(stage)]

    @property
    def available(self) -> list[StageStatus]:
        """Stages that serve something good."""
        return [stage for stage in self.stages if stage.state in _AVAILABLE and stage.serving]

    @property
    def working(self) -> list[StageStatus]:
        """Stages on which something goes on by itself."""
        return [stage for stage in self.stages if _works(stage)]

    @property
    def serves(self) -> bool:
        """Whether anything is to be served."""
        return any(stage.kind == "serve" for stage in self.stages)

    @property
    def stopped(self) -> list[StageStatus]:
        """Stages that wait for the next run on their machine."""
        return [stage for stage in self.stages if stage.reason == Reason.RUN_ENDED]

    def any_in(self, state: StageState) -> list[StageStatus]:
        """Stages in a state."""
        return [stage for stage in self.stages if stage.state is state]


def summarise(world: World) -> Summary:
    """What counts of the stages."""
    stages = [world.stages[name] for name in world.specs]
    done = [stage for stage in stages if met(stage, world.revisions[stage.name])]
    return Summary(stages, done, world.workflow.spec.suspend)


def phase(summary: Summary) -> str:
    """One word for the whole."""
    return next(word for word, holds in _PHASES if holds(summary))


def stage_to_look_at(summary: Summary) -> StageStatus:
    """The stage that says most about the whole: what failed, then what works, then what waits."""
    candidates = (
        summary.failed,
        summary.any_in(_S.DEGRADED),
        summary.any_in(_S.AWAITING_APPROVAL),
        summary.working,
        summary.any_in(_S.QUEUED),
        summary.any_in(_S.CANCELLED),
        [stage for stage in summary.stages if stage not in summary.done],
        summary.stages[-1:],
    )
    return next(stages[0] for stages in candidates if stages)


def conditions(world: World, summary: Summary, before: Sequence[Condition]) -> list[Condition]:
    """The conditions, in their fixed order; the time of one changes only with its status."""
    truths = _truths(summary, stage_to_look_at(summary))
    return [_written(truth, before, world.workflow.metadata.generation, world.now) for truth in truths]


def stalled(
    status: LLMWorkflowStatus, generation: int, reason: str, message: str, now: datetime
) -> LLMWorkflowStatus:
    """The status of a workflow that cannot be planned, as its spec is not valid; its stages stay as they are."""
    holds = {ConditionType.READY: False, ConditionType.PROGRESSING: False, ConditionType.STALLED: True}
    told = [_Truth(kind, truth, reason, message) for kind, truth in holds.items()]
    found = [_written(truth, status.conditions, generation, now) for truth in told]
    kept = [item for item in status.conditions if item.type not in holds]
    order = [kind.value for kind in ConditionType]
    return status.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Stalled",
            "conditions": sorted([*found, *kept], key=lambda item: order.index(item.type)),
        }
    )


def abandoned(status: LLMWorkflowStatus, now: datetime) -> LLMWorkflowStatus:
    """What a status is worth once the process that drove it was killed: what ran ended with it.

    It comes back as it was where nothing ran.
    """
    if not any(stage.child for stage in status.stages):
        return status
    message = "the process that drove it was killed: `llmworkflow run FILE --local` goes on"
    left = {"state": _S.WAITING, "reason": Reason.DRIVER_GONE.value, "message": message, "child": None}
    stages = [stage.model_copy(update=left) if stage.child else stage for stage in status.stages]
    told = stalled(status, status.observed_generation or 0, Reason.DRIVER_GONE, message, now)
    nothing = {"status": "False", "reason": Reason.NOTHING_SERVED.value, "message": "nothing is served"}
    found = [
        item.model_copy(update=nothing) if item.type == ConditionType.AVAILABLE else item
        for item in told.conditions
    ]
    return told.model_copy(update={"stages": stages, "conditions": found, "url": ""})


@dataclass(frozen=True)
class _Truth:
    """Whether a condition holds, and why."""

    kind: ConditionType
    holds: bool
    reason: str
    message: str


def _truths(summary: Summary, shown: StageStatus) -> Iterator[_Truth]:
    """Every condition."""
    about = (
        shown.reason,
        f"{shown.name}: {shown.message}" if shown.message else f"{shown.name} is {shown.state}",
    )
    moving = bool(summary.working) and not summary.suspended
    yield _Truth(ConditionType.READY, summary.ready, *about)
    yield _availability(summary)
    yield _Truth(ConditionType.PROGRESSING, moving, *about)
    yield _Truth(ConditionType.STALLED, _stuck(summary), *about)
    yield _Truth(ConditionType.SUCCEEDED, summary.ready and not summary.serves, *about)
    yield _Truth(ConditionType.FAILED, bool(summary.failed), *about)


def _availability(summary: Summary) -> _Truth:
    kind = ConditionType.AVAILABLE
    serving = [stage.serving for stage in summary.available if stage.serving]
    if not serving:
        return _Truth(kind, False, Reason.NOTHING_SERVED, "nothing is served")
    message = ", ".join(f"{item.stage} serves {item.model_id}, revision {item.revision}" for item in serving)
    return _Truth(kind, True, Reason.SERVING, message)


def _written(truth: _Truth, before: Sequence[Condition], generation: int, now: datetime) -> Condition:
    """The condition as it stands in the status."""
    word: Literal["True", "False"] = "True" if truth.holds else "False"
    old = next((item for item in before if item.type == truth.kind), None)
    return Condition(
        type=truth.kind.value,
        status=word,
        reason=str(truth.reason) or Reason.IN_PROGRESS.value,
        message=clip(truth.message),
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old and old.status == word else stamp(now),
    )


def _works(stage: StageStatus) -> bool:
    if stage.state in _WORKING:
        return True
    return stage.state in (_S.WAITING, _S.QUEUED) and stage.reason in _SELF_ENDING


def _refused(stage: StageStatus) -> bool:
    """Whether a serving stage's successor failed, and not because a person took it back."""
    refused = stage.refused
    return refused is not None and refused.reason == stage.reason and refused.reason != Reason.ROLLED_BACK


def _awaiting(summary: Summary) -> bool:
    return any(stage.reason == Reason.APPROVAL for stage in summary.stages)


def _stuck(summary: Summary) -> bool:
    """Whether nothing goes on until something is mended; a decision or a run that is awaited is no such thing."""
    if summary.suspended or summary.working or summary.ready:
        return False
    ended = summary.failed or summary.any_in(_S.CANCELLED)
    return bool(ended) or not (_awaiting(summary) or summary.stopped)


_PHASES: Sequence[tuple[str, Callable[[Summary], object]]] = (
    ("Suspended", lambda summary: summary.suspended and not summary.ready),
    ("Failed", lambda summary: summary.failed),
    ("Degraded", lambda summary: summary.any_in(_S.DEGRADED)),
    ("Running", lambda summary: summary.working),
    ("AwaitingApproval", _awaiting),
    ("Cancelled", lambda summary: summary.any_in(_S.CANCELLED)),
    ("Serving", lambda summary: summary.available),
    ("Succeeded", lambda summary: summary.ready),
    ("Stopped", lambda summary: summary.stopped),
    ("Stalled", lambda summary: True),
)
"""The phase is the first that holds."""
