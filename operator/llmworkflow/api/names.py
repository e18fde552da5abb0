"""Every label, annotation, condition and reason that others may rely on."""

from enum import StrEnum
from typing import Self

DOMAIN = "llmworkflow.io"

LABEL_WORKFLOW = f"{DOMAIN}/workflow"  # selects everything of a workflow
LABEL_STAGE = f"{DOMAIN}/stage"  # selects everything of a stage
LABEL_REVISION = f"{DOMAIN}/revision"  # what the child computes
LABEL_ATTEMPT = f"{DOMAIN}/attempt"  # which try it is
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "llmworkflow"
LABEL_QUEUE = "kueue.x-k8s.io/queue-name"  # Kueue admits what carries it

ANNOTATION_SPEC_HASH = f"{DOMAIN}/spec-hash"  # digest of what was rendered, to see edits by hand
# Digest of the settings that were rendered, to see edits of the spec.
ANNOTATION_SETTINGS = f"{DOMAIN}/settings"
# Digest of what an endpoint's Ray cluster is made of, to leave it as it is.
ANNOTATION_CLUSTER = f"{DOMAIN}/cluster"
ANNOTATION_CONFIG = f"{DOMAIN}/config"  # what the jobs or engines in a pod are told
ANNOTATION_USER = f"{DOMAIN}/requested-by"  # user of an action, vouched for by the admission policy
ANNOTATION_NOTE = f"{DOMAIN}/note"  # why a person acted as they did, in their words
# User of `suspend`, which files that do not speak of it leave be.
ANNOTATION_SUSPENDED_BY = f"{DOMAIN}/suspended-by"

ANNOTATION_FOLDER = f"{DOMAIN}/folder"  # on one machine, where the workflow's file lies


class Explained(StrEnum):
    """Words that programs rely on, each with its meaning for people."""

    meaning: str

    def __new__(cls, word: str, meaning: str) -> Self:
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member


class Verb(Explained):
    """What people ask for by the annotation `llmworkflow.io/<verb>: <stage>@<revision>#<token>`."""

    APPROVE = "approve", "Agree to what a stage made, so that the workflow goes on."
    REJECT = "reject", "Refuse what a stage made; the stage fails."
    RETRY = "retry", "Run a stage and what depends on it again."
    CANCEL = "cancel", "Stop a stage for good."
    ROLLBACK = "rollback", "Go back to what served before, and keep it until the spec changes."

    @property
    def annotation(self) -> str:
        """The key of the annotation."""
        return f"{DOMAIN}/{self.value}"


class ConditionType(Explained):
    """Conditions of a workflow, in the order in which they are written."""

    READY = "Ready", "What the observed generation asks for is served, or finished."
    AVAILABLE = "Available", "Something good is serving, perhaps the revision before."
    PROGRESSING = "Progressing", "Work goes on by itself."
    STALLED = "Stalled", "Nothing goes on until the spec or the cluster is mended."
    SUCCEEDED = "Succeeded", "Everything is finished, and nothing is to be served."
    FAILED = "Failed", "A stage failed for good."


class Reason(Explained):
    """Reasons of stages and conditions."""

    # waiting
    DEPENDENCIES = "WaitingForDependencies", "Stages that this one depends on are not done."
    SUSPENDED = "Suspended", "The workflow is suspended; `resume` goes on."
    QUEUED = "QueuedByKueue", "Kueue has not admitted the stage yet."
    BACKOFF = "RetryBackoff", "An attempt failed; the next one starts after a pause."
    NAME_BUSY = "PredecessorTerminating", "What had the child's name is still being deleted."
    REPORT_AWAITED = "WaitingForReport", "The job ended, and its report is not there yet."
    # working
    CREATED = "ChildRequested", "The child is being created."
    PENDING = "PodsPending", "Pods wait for a node, an image, a volume or a Secret; the message says which."
    RUNNING = "JobRunning", "The job runs."
    STOPPING = "RemovingChild", "The child is being deleted."
    REVISED = "SpecChanged", "The spec changed, so that the stage begins anew."
    EDITED = "ChildEdited", "The child was edited by hand and is put right."
    RETRIED = "RetriedByUser", "Someone asked for another run."
    SCHEDULED = "Scheduled", "A time of the schedule came, so that the stage runs again."
    REMOVED = "StageRemoved", "The spec has no such stage any more."
    CHECKING = "CheckingGates", "The gates are being judged."
    VERIFYING = "VerifyingEndpoint", "The endpoint is ready, and is asked whether it answers as it should."
    APPROVAL = "ApprovalRequired", "The gates passed; `approve` or `reject` goes on."
    UPGRADING = "SuccessorStarting", "A successor starts while the predecessor serves."
    # done
    COMPLETED = "Completed", "The stage is done."
    REUSED = "Reused", "The same revision was done before; its result is used again."
    SERVING = "EndpointVerified", "The endpoint serves, and answers as the batch did."
    ROLLED_BACK = "RolledBack", "Someone went back to what served before."
    # not done
    GATE_NOT_MET = "GateNotMet", "A metric is beyond its bound; the message has both."
    METRIC_MISSING = "MetricMissing", "The stage did not report a gate's metric, or it is no number."
    INCOMPARABLE = "Incomparable", "What a gate compares with was measured by another evaluation."
    TOO_FEW_ROWS = "TooFewRows", "Fewer rows were scored than evaluate.minRows."
    TOO_MANY_ERRORS = "TooManyErrors", "More rows failed than evaluate.maxErrorRate."
    REJECTED = "Rejected", "Someone rejected the result."
    VERIFICATION_FAILED = "VerificationFailed", "The endpoint answers otherwise than the batch did."
    LOST = "ChildLost", "The child was deleted by someone else; a new attempt follows."
    DRIVER_GONE = "DriverGone", "On one machine: the process that drove the workflow was killed."
    RUN_ENDED = "RunEnded", "On one machine: the run was stopped, and the next one goes on."
    NAME_TAKEN = "NameTaken", "The child's name belongs to something else; rename or delete that."
    TIMEOUT = "TimeoutExceeded", "The attempt ran longer than timeoutSeconds."
    PENDING_TIMEOUT = "PendingTimeoutExceeded", "The pods waited longer than pendingTimeoutSeconds."
    JOB_FAILED = "JobFailed", "The job failed without a report; its log says more."
    ARTIFACT_MISSING = (
        "ArtifactMissing",
        "An artifact is not on the storage any more; who made it runs again.",
    )
    UNHEALTHY = "EndpointUnhealthy", "The endpoint served and does not now."
    CANCELLED = "CancelledByUser", "Someone cancelled the stage."
    DEPENDENCY_FAILED = "DependencyFailed", "A stage that this one depends on failed."
    KUBERAY_MISSING = "KubeRayMissing", "The cluster has no KubeRay, or one without ray.io/v1; install it."
    INVALID_SPEC = "InvalidSpec", "The spec cannot be carried out; the message says what to change."
    SCHEDULE_SKIPPED = "ScheduleSkipped", "A time of the schedule came while a run was under way."
    NOTHING_SERVED = "NothingServed", "Nothing serves."
    IN_PROGRESS = "InProgress", "The workflow is under way."


class PendingReason(Explained):
    """Why pods of a child are not there; a stage that starts, is upgraded, or lost its pods carries them."""

    NO_ACCELERATOR = "AcceleratorUnavailable", "No node has the accelerators that a pod needs."
    ACCELERATORS_IN_USE = "AcceleratorsInUse", "The accelerators are there, and others use them."
    TAINT = "NodesTainted", "The nodes have a taint that the pod does not tolerate."
    UNSCHEDULABLE = "Unschedulable", "No node takes the pod; the message is the scheduler's."
    QUOTA = "QuotaExceeded", "The namespace's quota does not allow the pod."
    FORBIDDEN = "PodForbidden", "The namespace's policy does not allow the pod."
    IMAGE = "ImagePullFailed", "The image cannot be pulled."
    SECRET_MISSING = "SecretMissing", "A Secret or ConfigMap, or a key of it, is not there."
    CLAIM_MISSING = "ClaimMissing", "A PersistentVolumeClaim is not there."
    ACCOUNT_MISSING = "ServiceAccountMissing", "A ServiceAccount is not there."
    CLAIM_PENDING = "ClaimPending", "A PersistentVolumeClaim has no volume."
    CLAIM_IN_USE = "ClaimInUse", "A PersistentVolumeClaim is for one pod, and another one has it."
    VOLUME = "VolumeUnavailable", "A volume does not come to the pod's node."
    CRASHING = "PodCrashing", "A container does not stay up."


class JobReason(Explained):
    """Reasons that jobs report when they fail; a stage then carries the job's."""

    FILE_NOT_FOUND = "FileNotFound", "Data or a model is not where the spec says."
    DATA_INVALID = "DataInvalid", "A row cannot be read; the message has file, line and column."
    COLUMN_MISSING = "ColumnMissing", "A row lacks a column of the prompt."
    DATA_EMPTY = "DataEmpty", "A source holds no rows."
    DATA_OVERLAP = (
        "DataOverlap",
        "Prompts to be scored were trained on; take them out, or set evaluate.onOverlap.",
    )
    INPUT_CHANGED = "InputChanged", "Data or the model changed since an earlier run of the revision."
    MODEL_INVALID = (
        "ModelInvalid",
        "The base model cannot be used: no config.json, no chat template and the like.",
    )
    METRIC_UNKNOWN = "MetricUnknown", "There is no metric of this name."
    OPTION_INVALID = "OptionInvalid", "A field's value does not fit the engine."
    ARTIFACT_MISSING = "ArtifactMissing", "What an earlier stage made is not on the storage any more."
    PATH_IN_USE = "PathInUse", "Another workflow wrote to the folder; choose another, or set storage.adopt."
    IMAGE_LACKS_PACKAGE = "ImageLacksPackage", "The image has no such Python package; add it to ray.pip."
    OUT_OF_MEMORY = "OutOfMemory", "The accelerator's or the pod's memory does not suffice."
    STORAGE_ERROR = "StorageError", "The storage is full, unreachable or refuses the credentials."
    ENDPOINT_FAILED = "EndpointFailed", "The endpoint that a batch asks is away, or refuses the key."
    ROWS_FAILED = "RowsFailed", "Rows failed, and onRowError is fail; or every row did."
    INTERNAL_ERROR = "InternalError", "A fault of llmworkflow; the log has the traceback."
