"""Whatever happens to a workflow, in whatever order: plans hold their promises, and it comes to a good end."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from llmworkflow.api.names import Verb
from llmworkflow.api.status import StageState
from llmworkflow.core.actions import Action
from llmworkflow.core.observation import ChildPhase

from .builders import BETTER, artifact, score, workflow
from .simulator import SimulatedCluster

STAGES = st.sampled_from(["tune", "score", "chat"])
PHASES = st.sampled_from([ChildPhase.QUEUED, ChildPhase.PENDING, ChildPhase.RUNNING])
EDITS = st.sampled_from(
    [
        ("stages.0.fineTune.training.learningRate", 1e-3),
        ("stages.0.fineTune.training.learningRate", 1e-4),  # the default
        ("stages.0.timeoutSeconds", 500),
        ("stages.1.batch.sampling.maxTokens", 7),
        ("stages.1.batch.sampling.maxTokens", 8),
        ("stages.1.gates", [{"metric": "exactMatch", "min": 0.3}]),
        ("stages.1.gates", [{"metric": "exactMatch", "min": 0.5}, BETTER]),
        ("stages.1.approval", {"required": True}),
        ("stages.1.approval", {"required": False}),
        ("stages.1.dependsOn", []),
        ("stages.2.serve.models.0.engineKwargs", {"max_model_len": 512}),
        ("stages.2.serve.models.0.replicas", {"max": 2}),
        ("stages.2.approval", {"required": True}),
        ("stages.2.approval", {"required": False}),
        ("stages.2.dependsOn", ["tune"]),
        ("stages.2.dependsOn", ["score"]),
        ("schedule", {"cron": "0 * * * *"}),
        ("schedule", None),
        ("suspend", True),
        ("suspend", False),
    ]
)


class AnythingHappens(RuleBasedStateMachine):
    """A workflow to which people, Ray, the cluster and two operators do what they can."""

    cluster: SimulatedCluster
    late: list[Action]

    @initialize(promotions=st.integers(0, 2), edit=EDITS)
    def begin(self, promotions: int, edit: tuple[str, object]) -> None:
        self.cluster = SimulatedCluster(
            workflow(("stages.0.retries", 1), ("stages.2.pendingTimeoutSeconds", 300))
        )
        self.late = []
        self.tokens = 0
        for seed in range(promotions):
            self.cluster.edit(("stages.0.fineTune.training.seed", seed))
            self.all_goes_well()
        self.cluster.edit(edit)

    # operators

    @rule()
    def plan(self) -> None:
        self.cluster.plan()

    @rule()
    def come_to_rest(self) -> None:
        self.cluster.settle()

    @rule(done=st.integers(0, 2))
    def crash(self, done: int) -> None:
        """The status is written, and only some of the actions are carried out."""
        planned = self.cluster.look_and_plan()
        self.cluster.write(planned)
        for action in planned.actions[:done]:
            self.cluster.execute(action)

    @rule()
    def pause(self) -> None:
        """Another operator writes a status and then sleeps before it acts."""
        planned = self.cluster.look_and_plan()
        self.cluster.write(planned)
        self.late = list(planned.actions)

    @precondition(lambda self: self.late)
    @rule()
    def wake_up(self) -> None:
        for action in self.late:
            self.cluster.execute(action)
        self.late = []

    # Ray and the cluster

    @rule()
    def it_goes_well(self) -> None:
        for child in list(self.cluster.children.values()):
            if child.kind == "RayService":
                self.cluster.verify()
            else:
                self.change(child.stage, phase=ChildPhase.SUCCEEDED)
                self.report_success(child.stage, 0.9, 0.1)
        self.cluster.settle()

    @rule()
    def finish_deletions(self) -> None:
        self.cluster.finish_deletions()

    @rule(seconds=st.sampled_from([1, 60, 400, 4000]))
    def wait(self, seconds: int) -> None:
        self.cluster.wait(seconds)

    @precondition(lambda self: self.cluster.children)
    @rule(stage=STAGES, phase=PHASES)
    def go_on(self, stage: str, phase: ChildPhase) -> None:
        self.change(stage, phase=phase)

    @rule(
        value=st.sampled_from([0.1, 0.4, 0.9, None]), low=st.sampled_from([-0.1, 0.1]), report=st.booleans()
    )
    def a_job_succeeds(self, value: float | None, low: float, report: bool) -> None:
        for stage in ("tune", "score"):
            if self.has(stage):
                self.change(stage, phase=ChildPhase.SUCCEEDED)
                if report:
                    self.report_success(stage, value, low)

    @precondition(lambda self: self.has("tune") or self.has("score"))
    @rule(stage=st.sampled_from(["tune", "score"]))
    def a_job_reports_before_it_ends(self, stage: str) -> None:
        if self.has(stage):
            self.change(stage, phase=ChildPhase.RUNNING)
            self.report_success(stage, 0.9, 0.1)

    @rule(stage=STAGES, reason=st.sampled_from(["InternalError", "ArtifactMissing"]), retryable=st.booleans())
    def a_job_fails(self, stage: str, reason: str, retryable: bool) -> None:
        if self.has(stage):
            self.cluster.fail(stage, reason, retryable=retryable)

    @precondition(lambda self: self.cluster.children)
    @rule(stage=STAGES, permanent=st.booleans())
    def a_child_fails_without_a_word(self, stage: str, permanent: bool) -> None:
        self.change(stage, phase=ChildPhase.FAILED, permanent=permanent)

    @precondition(lambda self: self.has("chat"))
    @rule(passed=st.booleans())
    def an_endpoint_is_verified(self, passed: bool) -> None:
        self.cluster.verify(passed=passed)

    @precondition(lambda self: self.has("chat"))
    @rule()
    def an_endpoint_is_unwell(self) -> None:
        self.change("chat", phase=ChildPhase.UNHEALTHY)

    # people

    @precondition(lambda self: self.cluster.children)
    @rule(stage=STAGES)
    def a_child_is_deleted_by_hand(self, stage: str) -> None:
        if self.has(stage):
            self.cluster.delete_by_hand(stage)

    @precondition(lambda self: self.cluster.children)
    @rule(stage=STAGES)
    def a_deletion_by_hand_begins(self, stage: str) -> None:
        self.change(stage, terminating=True)

    @precondition(lambda self: self.cluster.children)
    @rule(stage=STAGES)
    def a_child_is_edited_by_hand(self, stage: str) -> None:
        self.change(stage, edited=True)

    @rule(edit=EDITS)
    def the_spec_is_edited(self, edit: tuple[str, object]) -> None:
        self.cluster.edit(edit)

    @rule(verb=st.sampled_from(list(Verb)), stage=STAGES | st.just("*"), of_now=st.booleans())
    def somebody_asks(self, verb: Verb, stage: str, of_now: bool) -> None:
        self.tokens += 1
        known = {status.name: status.revision or "" for status in self.cluster.status.stages}
        revision = known.get(stage, "") if of_now else ""
        self.cluster.ask(verb, f"{stage}@{revision}#{self.tokens}")

    @rule(verb=st.sampled_from([Verb.APPROVE, Verb.REJECT]))
    def somebody_decides(self, verb: Verb) -> None:
        """On what waits for a decision."""
        for status in self.cluster.status.stages:
            if status.state is StageState.AWAITING_APPROVAL:
                self.tokens += 1
                self.cluster.decide(verb, status.name, str(self.tokens))

    # how it ends

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        self.nothing_is_left_while_it_is_suspended()
        self.it_comes_to_rest()
        self.it_serves_once_it_is_asked_to()
        self.nothing_is_left_when_it_is_cancelled()

    def nothing_is_left_while_it_is_suspended(self) -> None:
        self.wake_up()
        self.cluster.edit(("suspend", True))
        self.cluster.settle()
        self.cluster.wait(10_000)
        self.cluster.settle()
        assert self.cluster.children == {}

    def it_comes_to_rest(self) -> None:
        """Where all goes well from now on, no stage is left on its way."""
        self.cluster.edit(("suspend", False), ("schedule", None))
        self.all_goes_well()
        resting = {StageState.SUCCEEDED, StageState.SERVING, StageState.FAILED, StageState.CANCELLED}
        waiting = {StageState.WAITING, StageState.AWAITING_APPROVAL}
        assert set(self.cluster.states().values()) <= resting | waiting

    def it_serves_once_it_is_asked_to(self) -> None:
        gates = ("stages.1.gates", [{"metric": "exactMatch", "min": 0.5}])
        no_approval = {"required": False}
        self.cluster.edit(gates, ("stages.1.approval", no_approval), ("stages.2.approval", no_approval))
        self.cluster.ask(Verb.RETRY, "*#the-last")
        self.all_goes_well()
        assert self.cluster.states() == {"tune": "Succeeded", "score": "Succeeded", "chat": "Serving"}
        truths = {item.type: item.status for item in self.cluster.status.conditions}
        assert truths == {
            "Ready": "True", "Available": "True", "Progressing": "False", "Stalled": "False",
            "Succeeded": "False", "Failed": "False",
        }  # fmt: skip
        assert list(self.cluster.children) == ["viggo-chat"]

    def nothing_is_left_when_it_is_cancelled(self) -> None:
        self.cluster.ask(Verb.CANCEL, "*#the-very-last")
        self.cluster.settle()
        assert self.cluster.children == {}

    def all_goes_well(self) -> None:
        for _ in range(12):  # three stages, each with an input that may have to be made again first
            self.it_goes_well()
            self.cluster.wait(600)  # longer than any pause

    # what the rules share

    def has(self, stage: str) -> bool:
        return any(child.stage == stage for child in self.cluster.children.values())

    def change(self, stage: str, **changes: object) -> None:
        if self.has(stage):
            self.cluster.see(stage, **changes)

    def report_success(self, stage: str, value: float | None, low: float) -> None:
        told = self.cluster.works[self.cluster.child(stage).name].incumbents
        comparisons = {
            name: {"difference": 0.0, "low": low, "high": 0.2, "incumbentRevision": of.revision}
            for name, of in told.items()
        }
        child = self.cluster.child(stage)
        made = artifact(f"{child.name}-{child.uid}")
        metrics = score(value, comparisons=comparisons)
        self.cluster.tell(stage, state="Succeeded", artifact=made, metrics=metrics)


TestAnythingHappens = AnythingHappens.TestCase
TestAnythingHappens.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
