"""A simulated cluster: it holds the children of one workflow in memory and carries out plans upon them.

It simulates what shells and Ray do around the planner, and nothing else: no pods, no time of its own. After every
plan it checks what must hold of any plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from llmworkflow.api.names import ANNOTATION_USER, Verb
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageStatus
from llmworkflow.core.actions import Action, ApplyService, CreateChild, DeleteChild, Plan, Work
from llmworkflow.core.asking import decided_on
from llmworkflow.core.observation import ChildPhase, ChildSeen, Observed
from llmworkflow.core.plan import plan
from llmworkflow.core.states import legal

from .builders import START, UID, artifact, report, score, set_at, workflow

STEPS = 60  # more plans than any run here needs to come to rest


class SimulatedCluster:
    """The children of one workflow, and the status that a shell would keep."""

    def __init__(self, wanted: LLMWorkflow | None = None) -> None:
        self.workflow = wanted or workflow()
        self.status = LLMWorkflowStatus()
        self.children: dict[str, ChildSeen] = {}
        self.works: dict[str, Work] = {}  # what each child was last told, by name
        self.now: datetime = START
        self.input_digests: dict[str, str] = {}
        self.user_verified = False
        self.ending = False
        self.unrenderable: dict[str, str] = {}  # why, by stage
        self.created: Counter[str] = Counter()  # by name
        self.log: list[Action] = []
        self._uids = 0

    # what a shell does

    def plan(self) -> Plan:
        """Look, plan, write the status, and carry out what was planned."""
        planned = self.look_and_plan()
        self.write(planned)
        for action in planned.actions:
            self.execute(action)
        return planned

    def look_and_plan(self) -> Plan:
        """Plan without writing or doing anything."""
        planned = self.planned_for(self.status, self.now)
        check_plan(self, planned)
        return planned

    def planned_for(self, status: LLMWorkflowStatus, now: datetime) -> Plan:
        """The plan at a status and a time; stages that cannot be rendered are told, as shells do."""
        planned = plan(self.workflow, status, self.observed(), now)
        asked = [action.work.stage for action in planned.actions if not isinstance(action, DeleteChild)]
        if refused := {stage: self.unrenderable[stage] for stage in asked if stage in self.unrenderable}:
            return plan(self.workflow, status, replace(self.observed(), unrenderable=refused), now)
        return planned

    def write(self, planned: Plan) -> None:
        """Keep the status as an API server does: as JSON, from which it is read again."""
        self.status = LLMWorkflowStatus.model_validate_json(planned.status.model_dump_json(by_alias=True))
        assert self.status == planned.status

    def observed(self) -> Observed:
        return Observed(
            children=dict(self.children),
            input_digests=dict(self.input_digests),
            code_digest="code-1",
            image="image-1",
            user_verified=self.user_verified,
            ending=self.ending,
        )

    def execute(self, action: Action) -> None:
        self.log.append(action)
        match action:
            case CreateChild():
                self._create(action)
            case ApplyService():
                self._apply(action)
            case DeleteChild():
                seen = self.children.get(action.name)
                if seen and seen.uid == action.uid:
                    self.children[action.name] = replace(seen, terminating=True)

    def finish_deletions(self) -> None:
        """What was deleted in the foreground is gone."""
        self.children = {name: child for name, child in self.children.items() if not child.terminating}

    def settle(self) -> Plan:
        """Plan until nothing changes any more, with deletions carried through at once."""
        for _ in range(STEPS):
            before = (self.status, dict(self.children))
            planned = self.plan()
            self.finish_deletions()
            if (self.status, self.children) == before:
                return planned
        raise AssertionError(f"does not come to rest: {self.status}")

    # what jobs, people and the cluster do

    def stage(self, name: str) -> StageStatus:
        return next(stage for stage in self.status.stages if stage.name == name)

    def states(self) -> dict[str, str]:
        return {stage.name: stage.state.value for stage in self.status.stages}

    def child(self, stage: str) -> ChildSeen:
        return next(child for child in self.children.values() if child.stage == stage)

    def see(self, stage: str, **changes: Any) -> None:
        """Let the child of a stage be seen otherwise."""
        child = self.child(stage)
        self.children[child.name] = replace(child, **changes)

    def tell(self, stage: str, **content: Any) -> None:
        """Let the job of a stage report."""
        child = self.child(stage)
        self.see(stage, report=report(stage, child.revision, child.attempt or 0, **content))

    def run(self, stage: str) -> None:
        self.see(stage, phase=ChildPhase.RUNNING)

    def succeed(self, stage: str, metrics: dict[str, Any] | None = None, **content: Any) -> None:
        """Let a job end well, with an artifact of its own."""
        made = artifact(self.child(stage).name, "adapter" if stage == "tune" else "rows")
        self.see(stage, phase=ChildPhase.SUCCEEDED)
        content = {"metrics": score(0.9) if metrics is None else metrics, "artifact": made, **content}
        self.tell(stage, state="Succeeded", **content)

    def fail(self, stage: str, reason: str = "InternalError", message: str = "", **told: Any) -> None:
        """Let a job end badly and say so."""
        self.see(stage, phase=ChildPhase.FAILED)
        error = {"reason": reason, "message": message or f"{stage} went wrong", "retryable": True, **told}
        self.tell(stage, state="Failed", error=error)

    def verify(self, stage: str = "chat", *, passed: bool = True) -> None:
        """Let an endpoint be ready and say whether it answers as the batch did."""
        self.see(stage, phase=ChildPhase.READY, url=f"http://{stage}")
        agreement = 1.0 if passed else 0.2
        verification = {"rows": 16, "agreement": agreement, "required": 0.95, "passed": passed}
        self.tell(stage, verification=verification)

    def miss(self, reader: str, maker: str) -> None:
        """Let a job not find what another stage made for it."""
        made = self.works[self.child(reader).name].inputs[maker].artifact
        assert made is not None
        self.fail(reader, "ArtifactMissing", "manifest.json is not there", retryable=False, artifact=made.uri)

    def delete_by_hand(self, stage: str) -> None:
        del self.children[self.child(stage).name]

    def edit(self, *edits: tuple[str, Any]) -> None:
        """A new generation of the spec."""
        spec = self.workflow.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
        for path, value in edits:
            set_at(spec, path, value)
        metadata = self.workflow.metadata
        self.workflow = workflow(
            spec=spec, annotations=metadata.annotations, generation=metadata.generation + 1
        )

    def ask(self, verb: Verb, request: str, user: str = "ann") -> None:
        """A person's annotation."""
        annotations = {
            **self.workflow.metadata.annotations,
            verb.annotation: request,
            ANNOTATION_USER: user,
        }
        metadata = self.workflow.metadata.model_copy(update={"annotations": annotations})
        self.workflow = self.workflow.model_copy(update={"metadata": metadata})

    def decide(self, verb: Verb, stage: str, token: str = "1", user: str = "ann") -> None:
        """A person's decision on what is there now."""
        self.ask(verb, f"{stage}@{decided_on(self.workflow, self.status, stage)}#{token}", user)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # whole runs

    def until_serving(self) -> SimulatedCluster:
        """Run the whole workflow well."""
        self.settle()
        for stage in ("tune", "score"):
            self.complete(stage)
        self.bring_up()
        return self

    def bring_up(self) -> None:
        """Let the endpoint start, and pass for good."""
        self.run("chat")
        self.settle()
        self.verify()
        self.settle()

    def complete(self, stage: str, metrics: dict[str, Any] | None = None) -> None:
        """Run one job to its good end."""
        self.run(stage)
        self.settle()
        self.succeed(stage, metrics)
        self.settle()

    def _create(self, action: CreateChild) -> None:
        if action.name in self.children:
            return  # the API server answers 409
        self._uids += 1
        self.created[action.name] += 1
        self.children[action.name] = ChildSeen(
            kind=action.kind,
            name=action.name,
            uid=f"uid-{self._uids}",
            owner_uid=UID,
            owner_name="viggo",
            phase=ChildPhase.PENDING,
            **told(action.work),
        )
        self.works[action.name] = action.work

    def _apply(self, action: ApplyService) -> None:
        seen = self.children.get(action.name)
        if seen and seen.uid == action.uid:
            changes = {"phase": ChildPhase.RUNNING, "edited": False, **told(action.work)}
            self.children[action.name] = replace(seen, **changes)
            self.works[action.name] = action.work


def started(*edits: tuple[str, Any]) -> SimulatedCluster:
    """The workflow of `builders` with its edits, as far as it comes by itself."""
    cluster = SimulatedCluster(workflow(*edits))
    cluster.settle()
    return cluster


def told(work: Work) -> dict[str, Any]:
    """What a child shows of the work that it was told."""
    return {
        "stage": work.stage,
        "revision": work.revision,
        "attempt": work.attempt,
        "settings": work.settings,
    }


def check_plan(cluster: SimulatedCluster, planned: Plan) -> None:
    """What holds of every plan."""
    kinds = {stage.name: stage.kind for stage in planned.status.stages}
    before = {
        stage.name: stage.state
        for stage in cluster.status.stages
        if kinds.get(stage.name) == stage.kind  # one of another kind is another stage
    }
    for step in planned.transitions:
        assert legal(step.before, step.after), step
        assert before.get(step.stage, step.before) == step.before, "transitions follow one another"
        before[step.stage] = step.after
    for name, check in _CHECKS.items():
        assert check(cluster, planned), f"{name}: {planned}"


def _creates_only_what_is_absent(cluster: SimulatedCluster, planned: Plan) -> bool:
    names = [action.name for action in planned.actions if isinstance(action, CreateChild)]
    return len(set(names)) == len(names) and not set(names) & set(cluster.children)


def _one_child_a_stage(cluster: SimulatedCluster, planned: Plan) -> bool:
    there = [child.stage for child in cluster.children.values() if child.owner_uid == UID]
    coming = [action.work.stage for action in planned.actions if isinstance(action, CreateChild)]
    return not set(coming) & set(there)


def _writes_names_first(_: SimulatedCluster, planned: Plan) -> bool:
    named = {stage.child.name: stage.attempt for stage in planned.status.stages if stage.child}
    created = [action for action in planned.actions if isinstance(action, CreateChild)]
    return all(named.get(action.name) == action.work.attempt for action in created)


def _deletes_only_its_own(cluster: SimulatedCluster, planned: Plan) -> bool:
    deleted = [action for action in planned.actions if isinstance(action, DeleteChild)]
    return all(cluster.children[action.name].owner_uid == UID for action in deleted)


def _is_bounded(cluster: SimulatedCluster, planned: Plan) -> bool:
    keep = cluster.workflow.spec.storage.retention.keep_revisions
    messages = [stage.message for stage in planned.status.stages]
    messages += [condition.message for condition in planned.status.conditions]
    return (
        len(planned.status.history) <= 10
        and all(len(stage.attempts) <= 10 for stage in planned.status.stages)
        and all(len(stage.results) <= keep for stage in planned.status.stages)
        and all(len(message) <= 1024 for message in messages)
    )


def _comes_to_the_same_again(cluster: SimulatedCluster, planned: Plan) -> bool:
    again = cluster.planned_for(planned.status, cluster.now)
    return again.status == planned.status and again.actions == planned.actions and not again.transitions


def _writes_nothing_for_time_alone(cluster: SimulatedCluster, planned: Plan) -> bool:
    due = planned.requeue_after
    later = cluster.now + (timedelta(days=1) if due is None else timedelta(seconds=due - 1))
    if later <= cluster.now:
        return True
    return cluster.planned_for(planned.status, later).status == planned.status


def _judges_what_it_serves(_: SimulatedCluster, planned: Plan) -> bool:
    """Whatever comes to serve was judged by stages that read it, and no attempt before it."""
    coming = [stage.candidate for stage in planned.status.stages if stage.candidate]
    return all(
        promotion.inputs[name].attempt == attempt
        for promotion in coming
        for verdict in promotion.inputs.values()
        for name, attempt in verdict.read.items()
        if name in promotion.inputs and not promotion.pinned
    )


_CHECKS: dict[str, Callable[[SimulatedCluster, Plan], bool]] = {
    "creates only what is absent": _creates_only_what_is_absent,
    "at most one child a stage": _one_child_a_stage,
    "names and attempts are written first": _writes_names_first,
    "deletes only what is its own": _deletes_only_its_own,
    "judges what it serves": _judges_what_it_serves,
    "the status stays small": _is_bounded,
    "time alone changes nothing before it is due": _writes_nothing_for_time_alone,
    "a plan that was written and not executed is made again": _comes_to_the_same_again,
}
