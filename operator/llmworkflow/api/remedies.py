"""What to do about every reason that a stage or a condition may carry, and the page that lists them."""

from collections.abc import Iterable, Mapping

from llmworkflow.api.names import Explained, JobReason, PendingReason, Reason

_NOTHING = "Nothing; this passes by itself."
_FINE = "Nothing; all is well."
_LOOSEN = "Mend the data or the training; or change the gate, which judges the result anew without running anything."

_OF_STAGES: Mapping[str, str] = {
    Reason.DEPENDENCIES: "Nothing, unless a stage before it has failed: see there.",
    Reason.SUSPENDED: "`llmworkflow resume NAME`, or set `spec.suspend: false`.",
    Reason.QUEUED: (
        "Look at the LocalQueue (`kubectl describe workload`); its quota may be in use, or too small "
        "for the stage."
    ),
    Reason.BACKOFF: (
        "Nothing; the message says why the attempt failed. To begin at once: `llmworkflow retry NAME "
        "--from STAGE`."
    ),
    Reason.NAME_BUSY: (
        "Nothing; if it lasts, see which finalizer holds the predecessor: `kubectl get "
        "rayjob,rayservice -o yaml`."
    ),
    Reason.REPORT_AWAITED: _NOTHING,
    Reason.CREATED: _NOTHING,
    Reason.PENDING: "See the message, and [below](#reasons-of-pending-pods).",
    Reason.RUNNING: _FINE,
    Reason.STOPPING: (
        "Nothing; pods have their grace period. If it lasts, look for pods on a node that is gone."
    ),
    Reason.REVISED: _NOTHING,
    Reason.EDITED: "Change the workflow in place of what it owns.",
    Reason.RETRIED: _NOTHING,
    Reason.SCHEDULED: _NOTHING,
    Reason.REMOVED: _NOTHING,
    Reason.CHECKING: _NOTHING,
    Reason.VERIFYING: _NOTHING,
    Reason.APPROVAL: "`llmworkflow report NAME`, then `llmworkflow approve NAME` or `reject`.",
    Reason.UPGRADING: "Nothing; the predecessor serves meanwhile.",
    Reason.COMPLETED: _FINE,
    Reason.REUSED: "Nothing; to run it again: `llmworkflow retry NAME --from STAGE`.",
    Reason.SERVING: _FINE,
    Reason.ROLLED_BACK: "Nothing; the next change of the spec ends the rollback.",
    Reason.GATE_NOT_MET: _LOOSEN,
    Reason.METRIC_MISSING: (
        "Have the stage measure the gate's metric: `evaluate.metrics` of a batch; check references "
        "and rows for NaN."
    ),
    Reason.INCOMPARABLE: (
        "Score both with the same rows and metrics: `retry` the stage that the gate compares with, or "
        "use `min`."
    ),
    Reason.TOO_FEW_ROWS: "Give the batch more rows (`input.limit`), or lower `evaluate.minRows`.",
    Reason.TOO_MANY_ERRORS: (
        "Read the rows' errors in the artifact; mend the data or the engine's options, or raise "
        "`evaluate.maxErrorRate`."
    ),
    Reason.REJECTED: "Change what was rejected; another result is asked about anew.",
    Reason.VERIFICATION_FAILED: (
        "Compare `engineKwargs`, chat template and sampling of the batch with those of the endpoint; "
        "or lower `verify.agreement`. Where an artifact is missing, have it made again with `retry --from` its stage."
    ),
    Reason.LOST: "Nothing; a new attempt goes on from the last checkpoint. Find out who deletes the RayJob.",
    Reason.DRIVER_GONE: "`llmworkflow run FILE --local` goes on from the last checkpoint.",
    Reason.RUN_ENDED: "`llmworkflow run FILE --local` goes on.",
    Reason.NAME_TAKEN: "Delete the object that the message names, or rename the workflow or the stage.",
    Reason.TIMEOUT: (
        "Raise the stage's `timeoutSeconds`, or give it more workers; it goes on from the last checkpoint."
    ),
    Reason.PENDING_TIMEOUT: "Mend what the message names, or raise `pendingTimeoutSeconds`; then `retry`.",
    Reason.JOB_FAILED: "Read the log of the Ray head: `kubectl logs` of the pod that the message names.",
    Reason.ARTIFACT_MISSING: (
        "Nothing; it is made again, but for a checkpoint, of which the message says more. Find out who cleans "
        "up the storage."
    ),
    Reason.UNHEALTHY: (
        "Look at the RayService and its pods; `llmworkflow rollback NAME STAGE` goes back to what "
        "served before."
    ),
    Reason.CANCELLED: "`llmworkflow retry NAME --from STAGE` to run it after all.",
    Reason.DEPENDENCY_FAILED: "Mend the stage that failed; this one follows.",
    Reason.KUBERAY_MISSING: "Install KubeRay 1.6 or newer; this goes on by itself then.",
    Reason.INVALID_SPEC: (
        "Change what the message says; what is wrong with the file itself, `llmworkflow validate FILE` says with "
        "the line."
    ),
    Reason.SCHEDULE_SKIPPED: (
        "Nothing; the next time comes. If it comes too often for the runs, edit `spec.schedule`."
    ),
    Reason.NOTHING_SERVED: (
        "Nothing, if the workflow serves nothing; else see why its serving stage does not."
    ),
    Reason.IN_PROGRESS: _NOTHING,
}

_OF_PODS: Mapping[str, str] = {
    PendingReason.NO_ACCELERATOR: (
        "Add nodes with such accelerators, or change `ray.accelerator`; see `kubectl describe nodes`."
    ),
    PendingReason.ACCELERATORS_IN_USE: (
        "Wait, end something else, or ask for fewer workers; a `queue` of Kueue makes the order fair."
    ),
    PendingReason.TAINT: (
        "Add tolerations to the accelerator's profile (`jobs.accelerators` of the chart) or to "
        "`ray.accelerator`."
    ),
    PendingReason.UNSCHEDULABLE: (
        "Do as the scheduler's message says; `ray.head` and `ray.worker` set what the pods ask for."
    ),
    PendingReason.QUOTA: "Raise the ResourceQuota of the namespace, or ask for less.",
    PendingReason.FORBIDDEN: (
        "See the policy that the message names; `jobs.podSecurityContext` of the chart sets how pods run."
    ),
    PendingReason.IMAGE: "Check the name in `ray.image`, and `ray.imagePullSecrets` for a private registry.",
    PendingReason.SECRET_MISSING: (
        "Create the Secret, ConfigMap or key that the message names in the workflow's namespace."
    ),
    PendingReason.CLAIM_MISSING: "Create the PersistentVolumeClaim that `storage.volume.claimName` names.",
    PendingReason.ACCOUNT_MISSING: (
        "Create it in the workflow's namespace, or correct `ray.serviceAccountName`."
    ),
    PendingReason.CLAIM_PENDING: (
        "Check the claim's storage class and access mode: several pods need ReadWriteMany."
    ),
    PendingReason.CLAIM_IN_USE: "Use a claim of access mode ReadWriteMany.",
    PendingReason.VOLUME: (
        "A ReadWriteOnce volume is on another node, or its driver fails: see the events of the pod."
    ),
    PendingReason.CRASHING: (
        "Read the log of the container that the message names; often the image's Ray is not `rayVersion`."
    ),
}

_OF_JOBS: Mapping[str, str] = {
    JobReason.FILE_NOT_FOUND: (
        "Correct the address, or put the file there: another `run --local` tries again, on a cluster `retry`."
    ),
    JobReason.DATA_INVALID: "Mend the row; or, in a batch, `onRowError: continue` counts it and goes on.",
    JobReason.COLUMN_MISSING: "Name the data's columns in `prompt.columns`.",
    JobReason.DATA_EMPTY: "Check the address and the format of the data.",
    JobReason.DATA_OVERLAP: (
        "Take the rows out of the training or the test data; or set `evaluate.onOverlap`."
    ),
    JobReason.INPUT_CHANGED: (
        "Set `inputs: recheck` to take the new data over as a new revision, or restore the old."
    ),
    JobReason.MODEL_INVALID: (
        "Give a folder with config.json, weights and tokenizer; `prompt.chatTemplate` where the model "
        "has none."
    ),
    JobReason.METRIC_UNKNOWN: "Use one of the metrics of the reference, or `module:function`.",
    JobReason.OPTION_INVALID: "Change the field that the message names.",
    JobReason.ARTIFACT_MISSING: "Nothing; it is made again. Find out who cleans up the storage.",
    JobReason.PATH_IN_USE: (
        "Choose another `storage.path`, or set `storage.adopt` to go on with what is there."
    ),
    JobReason.IMAGE_LACKS_PACKAGE: (
        "Add the package to `ray.pip`, or use an image that has it; a metric's module may on one machine lie beside "
        "the workflow's file."
    ),
    JobReason.OUT_OF_MEMORY: (
        "Lower the batch size or `maxLength`, use qlora, or give pods or accelerators more memory."
    ),
    JobReason.STORAGE_ERROR: (
        "Free some space, check the network and the Secret of `credentialsFrom`; then `retry`."
    ),
    JobReason.ENDPOINT_FAILED: "Check `http.url`, the Secret of `http.apiKeyFrom`, and the network; then `retry`.",
    JobReason.ROWS_FAILED: "Correct what the message says of the row; `onRowError: continue` keeps the other rows.",
    JobReason.INTERNAL_ERROR: "Report it with the job's log.",
}

REMEDIES: Mapping[str, str] = {**_OF_JOBS, **_OF_PODS, **_OF_STAGES}
"""By reason; words that several lists have mean the same in each."""

_INTRODUCTION = """# Reasons and remedies

What stands under `reason` in a workflow's conditions and stages, in `kubectl get llmworkflows -o wide`, and on the
[alerts](operations.md#alerts). The message beside it names the object, the field and the value.
"""


def page() -> str:
    """The page of all reasons."""
    parts = [
        _INTRODUCTION,
        *_section("Reasons of stages and conditions", Reason),
        *_section("Reasons of pending pods", PendingReason),
        *_section("Reasons that jobs report", JobReason),
    ]
    return "\n".join(parts)


def _section(title: str, words: Iterable[Explained]) -> Iterable[str]:
    yield f"## {title}\n"
    yield "| reason | means | what to do |\n|---|---|---|"
    yield "".join(f"| `{word}` | {word.meaning} | {REMEDIES[word]} |\n" for word in words)
