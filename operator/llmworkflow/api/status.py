"""The status of an LLMWorkflow: what came of it, written by the planner alone."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from llmworkflow.api.fields import JsonObject, MapBy, SpecModel
from llmworkflow.api.names import Explained
from llmworkflow.api.spec.stage import Kind


class StageState(Explained):
    """Where a stage stands; `core.states` says what may follow what."""

    WAITING = "Waiting", "Waits for the stages that it depends on."
    QUEUED = "Queued", "Waits to be admitted, or is suspended; costs no attempt and no time."
    STARTING = "Starting", "The child exists, and its pods are not all there."
    RUNNING = "Running", "The job runs."
    STOPPING = "Stopping", "The child is being removed."
    CHECKING = "Checking", "The gates are judged, or the endpoint is verified."
    AWAITING_APPROVAL = "AwaitingApproval", "The gates passed, and a person has to agree."
    SUCCEEDED = "Succeeded", "Done."
    SERVING = "Serving", "The endpoint answers, and was verified."
    UPGRADING = "Upgrading", "The endpoint answers while a successor starts."
    DEGRADED = "Degraded", "The endpoint was serving, and does not answer as it should."
    FAILED = "Failed", "Failed for good."
    CANCELLED = "Cancelled", "Cancelled by a person."


class Condition(SpecModel):
    """A condition, as in any Kubernetes resource."""

    type: str
    """Ready, Available, Progressing, Stalled, Succeeded or Failed."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str
    """Why, as one word for programs."""
    message: str = ""
    """Why, and what to do, for people."""
    observed_generation: int | None = None
    """The generation of the spec that this speaks of."""
    last_transition_time: str
    """When the status last changed."""


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: what is not a number is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]


class Comparison(SpecModel):
    """A candidate against an incumbent on the same rows."""

    difference: Number = None
    """Candidate less incumbent; none where they cannot be compared."""
    low: Number = None
    """Lower end of the difference's interval."""
    high: Number = None
    """Upper end of the difference's interval."""
    confidence: Number = None
    """Confidence of that interval."""
    n: int | None = None
    """Rows compared."""
    incumbent_revision: str | None = None
    """Revision of the incumbent's producer."""
    comparable: bool = True
    """False where the incumbent was measured by another evaluation."""
    message: str = ""
    """Why they cannot be compared."""


class Metric(SpecModel):
    """A measured value and how sure it is."""

    value: Number = None
    """The value; none where it could not be computed."""
    low: Number = None
    """Lower end of the 95 % interval."""
    high: Number = None
    """Upper end of the 95 % interval."""
    n: int | None = None
    """Rows it was measured on, failed and missing ones included."""
    errors: int | None = None
    """Failed rows; they count as 0."""
    truncated: int | None = None
    """Answers cut at maxTokens."""
    missing: int | None = None
    """Answered rows without the reference to compare with; they count as 0."""
    message: str = ""
    """Why there is no value."""
    comparisons: dict[str, Comparison] = {}
    """Against `serving`, `base` or a stage."""


class Child(SpecModel):
    """The resource that does the stage's work."""

    kind: Literal["RayJob", "RayService"]
    """Its kind."""
    name: str
    """Its name."""
    uid: str | None = None
    """Its uid; none until its creation was seen."""


class Artifact(SpecModel):
    """What a stage made, on the storage."""

    uri: str
    """Where it lies."""
    digest: str
    """Digest of its manifest."""
    type: Literal["adapter", "model", "rows"]
    """What it is."""


class Progress(SpecModel):
    """How far an attempt is."""

    percent: Number = None
    """Part done."""
    eta_seconds: Number = None
    """Seconds to go."""
    message: str = ""
    """Step, loss and the like."""


class Verification(SpecModel):
    """Rows of the gated batch, replayed through the endpoint."""

    revision: str
    """Revision that was verified."""
    rows: int
    """Rows replayed."""
    agreement: float
    """Part answered as the batch did."""
    passed: bool
    """Whether that is enough."""
    message: str = ""
    """Which row differed, and where."""


class ApprovalRecord(SpecModel):
    """A person's decision."""

    approved: bool
    """Approved or rejected."""
    revision: str
    """Revision decided on."""
    digest: str | None = None
    """Digest of the promotion decided on; none for what a job made."""
    user: str = ""
    """Who decided."""
    verified: bool = False
    """Whether the API server vouches for the user."""
    time: str
    """When."""
    note: str = ""
    """Why."""


class Attempt(SpecModel):
    """An attempt that ended."""

    revision: str
    """The revision it worked on."""
    attempt: int
    """Its number, from 1."""
    reason: str
    """Why it ended."""
    message: str = ""
    """What it said."""
    finished_at: str
    """When it ended."""


class Verdict(SpecModel):
    """How a finished revision of a stage came out; kept so that the same revision is reused."""

    kind: Kind
    """Kind of work of the stage."""
    revision: str
    """The revision."""
    attempt: int
    """The attempt that finished it."""
    artifact: Artifact | None = None
    """What it made."""
    metrics: dict[str, Metric] = {}
    """What it measured."""
    finished_at: str
    """When."""
    read: dict[str, int] = {}
    """Attempts of the stages that it was made from, by their names."""


class Promotion(SpecModel):
    """What serves under a name, since when and why."""

    stage: str
    """The serving stage."""
    revision: str
    """Its revision."""
    digest: str
    """Digest of the revision and of the artifacts it serves."""
    model_id: str
    """Name that clients use."""
    inputs: dict[str, Verdict] = {}
    """What it serves and was judged by, by the stage that made it; the metrics lie in `metrics`."""
    replay: str | None = None
    """The batch among the inputs whose rows verify it; none: it is greeted."""
    metrics: dict[str, Metric] = {}
    """What the gates saw."""
    spec: JsonObject = {}
    """The fields of the spec that it is made from, so that it can be returned to after an edit."""
    url: str | None = None
    """Address of the endpoint."""
    since: str
    """When it began to serve."""
    pinned: bool = False
    """Kept by a rollback until the spec changes."""
    approved: bool = False
    """Whether a person agreed to it."""
    user: str = ""
    """Who approved it or rolled it back."""


class Refusal(SpecModel):
    """What a serving stage is not to be brought to, until the spec changes or someone retries."""

    revision: str
    """Revision that was refused."""
    digest: str | None = None
    """Digest of the promotion that was refused; none: whatever the revision makes."""
    reason: str
    """Why, as one word."""
    message: str = ""
    """Why, and what to do."""


class StageStatus(SpecModel):
    """One stage."""

    name: str
    """Name of the stage."""
    kind: Kind
    """Kind of work."""
    state: StageState = StageState.WAITING
    """Where it stands."""
    revision: str | None = None
    """Digest of what determines its result."""
    attempt: int = 0
    """Number of the attempt, from 1; 0 before the first."""
    failures: int = 0
    """Attempts of this revision that count against its retries."""
    reused: bool = False
    """Whether the result was there already."""
    child: Child | None = None
    """The resource that works, or is being removed."""
    started_at: str | None = None
    """When this attempt's child was planned, or admitted by the queue."""
    running_at: str | None = None
    """When this attempt began to run."""
    ran_seconds: float = 0
    """Seconds that this attempt ran before it was queued again; they count in its timeout."""
    retry_at: str | None = None
    """When the next attempt may start."""
    finished_at: str | None = None
    """When the stage reached its end."""
    reason: str = ""
    """Why it stands there, as one word."""
    message: str = ""
    """Why, and what to do."""
    progress: Progress | None = None
    """How far the attempt is."""
    metrics: dict[str, Metric] = {}
    """What was measured."""
    artifact: Artifact | None = None
    """What was made."""
    verification: Verification | None = None
    """The replay through the endpoint."""
    approval: ApprovalRecord | None = None
    """A person's decision."""
    asked: str | None = None
    """Digest of all that the spec asked of the attempt; another one gives a stage that failed another chance."""
    judged: str | None = None
    """Digest of the bounds that the result was judged by."""
    read: dict[str, int] = {}
    """Attempts of the stages that this attempt builds upon, by their names."""
    misses: list[str] = []
    """Artifacts that the last attempt did not find, by their uris; who made them runs again."""
    candidate: Promotion | None = None
    """What a serving stage is being brought to."""
    serving: Promotion | None = None
    """What a serving stage serves; kept while it is suspended or made anew."""
    refused: Refusal | None = None
    """What a serving stage is not brought to."""
    attempts: list[Attempt] = []
    """Attempts that ended, the latest ten."""
    results: list[Verdict] = []
    """Finished revisions, the latest first, that can be reused."""


class Resolved(SpecModel):
    """What was found behind the names of the spec, then kept."""

    hash_scheme: int = 1
    """Version of the way revisions are computed."""
    code_digest: str | None = None
    """Digest of the job code."""
    image: str | None = None
    """Image of the jobs."""
    inputs: dict[str, str] = {}
    """Digest or commit of each data source and model, by its uri."""
    changed: dict[str, str] = {}
    """Inputs that changed after they were first resolved, and so are part of revisions."""


class ScheduleStatus(SpecModel):
    """What became of the times of the schedule."""

    times: str
    """Times and time zone that this speaks of; others begin anew."""
    next_run: str
    """The next time; one that has passed is made up for as soon as may be, once for however many."""
    last_run: str | None = None
    """When the workflow last ran because of its schedule."""
    skipped: str | None = None
    """The latest time that was let pass."""
    message: str = ""
    """Why it was."""


class LLMWorkflowStatus(SpecModel):
    """What came of a workflow."""

    observed_generation: int | None = None
    """The generation of the spec that this speaks of."""
    phase: str = "Pending"
    """One word for the whole: Pending, Running, AwaitingApproval, Serving, Succeeded, Degraded, Suspended,
    Stopped, Failed, Stalled, Cancelled."""
    stage: str = ""
    """The stage to look at."""
    attempt: int | None = None
    """The attempt of that stage, from 1."""
    score: str = ""
    """The latest gated metric."""
    url: str = ""
    """Address of the endpoint."""
    conditions: Annotated[list[Condition], MapBy("type")] = []
    """Ready, Available, Progressing, Stalled, Succeeded, Failed."""
    serving: Promotion | None = None
    """What serves; kept while it is suspended or made anew, when Available is False."""
    history: list[Promotion] = []
    """What served, the latest first; at most ten."""
    stages: Annotated[list[StageStatus], MapBy("name")] = []
    """The stages, in the order of the spec."""
    resolved: Resolved = Resolved()
    """What was found behind the names of the spec."""
    schedule: ScheduleStatus | None = None
    """What became of the times of spec.schedule; none without one."""
    last_handled: dict[str, str] = {}
    """The latest token of each verb that was carried out."""
