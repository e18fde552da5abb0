"""What a plan asks of the shell: data, each with a line for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.stage import Kind
from llmworkflow.api.status import Artifact, LLMWorkflowStatus, StageState
from llmworkflow.core.observation import ChildKind


@dataclass(frozen=True)
class Input:
    """The finished stage that another one reads."""

    stage: str
    kind: Kind
    revision: str
    attempt: int
    artifact: Artifact | None


@dataclass(frozen=True)
class Incumbent(Input):
    """The finished stage whose rows a gate compares with; without an artifact, the base model."""

    confidence: float


@dataclass(frozen=True)
class Work:
    """Everything beside the spec that a stage's job is told; `render` makes its configuration from both."""

    stage: str
    kind: Kind
    revision: str
    attempt: int
    inputs: Mapping[str, Input] = field(default_factory=dict)  # by stage
    incumbents: Mapping[str, Incumbent] = field(default_factory=dict)  # by the name of the comparison
    pinned: Mapping[str, str] = field(default_factory=dict)  # digest by uri
    settings: str = ""  # digest of every setting that the child is rendered from; kept as an annotation
    replay: str | None = None  # the batch whose rows verify an endpoint
    # What a promotion is made from: see `core.promotions.workflow_for`.
    spec: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class CreateChild:
    """Create a child that is not there. On a conflict: fail, look again."""

    kind: ChildKind
    name: str
    work: Work

    @property
    def description(self) -> str:
        """A line for people."""
        return f"create {self.kind} {self.name} for stage {self.work.stage}, attempt {self.work.attempt}"


@dataclass(frozen=True)
class ApplyService:
    """Bring a living RayService to this work: a promotion, a rollback, or an edit by hand put right."""

    name: str
    uid: str
    work: Work

    @property
    def description(self) -> str:
        """A line for people."""
        return f"bring RayService {self.name} to revision {self.work.revision} of stage {self.work.stage}"


@dataclass(frozen=True)
class DeleteChild:
    """Delete a child, in the foreground, if it is still this one. Its report goes with it."""

    kind: ChildKind
    name: str
    uid: str
    stage: str

    @property
    def description(self) -> str:
        """A line for people."""
        return f"delete {self.kind} {self.name} of stage {self.stage}"


Action = CreateChild | ApplyService | DeleteChild


@dataclass(frozen=True)
class Transition:
    """A change of state of a stage, for events and logs."""

    stage: str
    before: StageState
    after: StageState
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """What comes next: write this status, then do these actions, then look again after so many seconds."""

    status: LLMWorkflowStatus
    actions: tuple[Action, ...] = ()
    transitions: tuple[Transition, ...] = ()
    requeue_after: float | None = None
