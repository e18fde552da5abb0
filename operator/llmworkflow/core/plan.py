"""The planner: from the spec, the status and a look at the children to the next status and what it takes."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, Promotion, StageStatus
from llmworkflow.core import children
from llmworkflow.core.actions import CreateChild, Plan, Transition
from llmworkflow.core.deadlines import seconds_until_next
from llmworkflow.core.inputs import resolve
from llmworkflow.core.observation import Observed
from llmworkflow.core.policies import OF_JOBS, OF_SERVICES
from llmworkflow.core.policies.people import carry_out
from llmworkflow.core.policies.retire import retire
from llmworkflow.core.policies.scheduled import look_at_clock, run_all
from llmworkflow.core.requests import pending
from llmworkflow.core.revision import revisions
from llmworkflow.core.summary import head
from llmworkflow.core.view import World

HISTORY_KEPT = 10
# Of one plan, far above what 32 stages take: more means that policies contradict each other.
STEPS_LIMIT = 1000


class UnsettledError(Exception):
    """The policies of a stage go round in circles."""


def plan(workflow: LLMWorkflow, status: LLMWorkflowStatus, observed: Observed, now: datetime) -> Plan:
    """What comes next. A valid spec is taken for granted; at rest the status comes back as it was.

    The caller writes the status, with a precondition on its version, and only then executes the actions. A plan
    that was written and not executed, wholly or in part, is made again from the next look.

    Raises:
        UnsettledError: policies contradict each other, a fault of this program.
    """
    ledger = _open(workflow, status, observed, now)
    handled = dict(status.last_handled)
    for request in pending(workflow.metadata, handled, observed.user_verified):
        for changed in carry_out(ledger.world, request):
            ledger.put(changed)
        handled[request.verb.value] = request.token
    clock = look_at_clock(ledger.world, status.schedule)
    if clock.due and clock.status:
        for changed in run_all(ledger.world, clock.status):
            ledger.put(changed)
    ledger.settle()
    world = ledger.world
    after = status.model_copy(
        update={
            **head(world, status),
            "history": list(world.history),
            "stages": list(world.stages.values()),
            "resolved": world.resolved,
            "schedule": clock.status,
            "last_handled": handled,
        }
    )
    return Plan(
        after,
        tuple(children.actions(world)),
        tuple(ledger.transitions),
        seconds_until_next(world, clock.status),
    )


def living(
    workflow: LLMWorkflow, status: LLMWorkflowStatus, observed: Observed, now: datetime
) -> list[CreateChild]:
    """The children that are there and needed, as they would be made now: to mend what they refer to."""
    return list(children.living(_open(workflow, status, observed, now).world))


@dataclass
class _Ledger:
    """Where the stages stand while a plan is made, and the transitions that led there."""

    world: World
    transitions: list[Transition] = field(default_factory=list)
    steps: int = 0

    def put(self, after: StageStatus) -> None:
        """Write a stage down."""
        before = self.world.stages[after.name]
        if before.state is not after.state:
            self.transitions.append(
                Transition(after.name, before.state, after.state, after.reason, after.message)
            )
        self.world = replace(
            self.world,
            stages={**self.world.stages, after.name: after},
            history=_history(self.world.history, before.serving, after.serving),
        )

    def settle(self) -> None:
        """Ask the policies of every stage until none has anything to say."""
        while True:
            before = self.world.stages
            for name in self.world.specs:
                while self._step(name):
                    pass
            if self.world.stages == before:
                return

    def _step(self, name: str) -> bool:
        """Hear the first policy that changes the stage, if there is one."""
        self.steps += 1
        if self.steps > STEPS_LIMIT:
            raise UnsettledError(f"stage {name} does not settle; the latest steps: {self.transitions[-8:]}")
        view = self.world.view(name)
        for policy in OF_SERVICES if view.stage.serve else OF_JOBS:
            after = policy(view)
            if after is not None and after != view.status:
                self.put(after)
                return True
        return False


def _open(workflow: LLMWorkflow, status: LLMWorkflowStatus, observed: Observed, now: datetime) -> _Ledger:
    """The ledger as the status left it, with stages that are new, and without those that are gone."""
    resolved = resolve(workflow, status.resolved, observed)
    known = {stage.name: stage for stage in status.stages}
    world = World(
        workflow=workflow,
        resolved=resolved,
        observed=observed,
        now=now,
        revisions=revisions(workflow, resolved),
        stages=known,
        history=tuple(status.history),
    )
    ledger = _Ledger(world)
    wanted = {stage.name: stage.kind for stage in workflow.spec.stages}
    fresh = {name: StageStatus(name=name, kind=kind) for name, kind in wanted.items()}
    for name, stage in known.items():
        if wanted.get(name) == stage.kind:
            fresh[name] = stage
        elif not world.gone(stage):
            ledger.put(retire(stage))
            fresh[name] = ledger.world.stages[name]
    ledger.world = replace(ledger.world, stages=fresh)
    return ledger


def _history(
    history: tuple[Promotion, ...], before: Promotion | None, after: Promotion | None
) -> tuple[Promotion, ...]:
    """What served, the latest first; what serves again is no longer history."""
    if before is None or (after is not None and after.digest == before.digest):
        return history
    now = after.digest if after else None
    others = [old for old in history if old.digest not in (before.digest, now)]
    return (before, *others)[:HISTORY_KEPT]
