"""What a RayJob does, by the fields of its status; none of them alone can be believed."""

from collections.abc import Callable, Mapping

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import Reason
from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube.look import Look

_WORDS: Mapping[str, Reason] = {  # KubeRay's reasons, where we have a word of our own
    "AppFailed": Reason.JOB_FAILED,
    "DeadlineExceeded": Reason.TIMEOUT,
    "PreRunningDeadlineExceeded": Reason.PENDING_TIMEOUT,
}


def look_at(rayjob: JsonObject) -> Look:
    """The phase of a RayJob, and why; its jobStatus may be stale or junk wherever it is not Complete."""
    status = rayjob.get("status") or {}
    state = status.get("jobDeploymentStatus", "")
    if outcome := _OUTCOMES.get(state):
        return outcome(status)
    phase = _PHASES.get(state, ChildPhase.PENDING)
    if phase is ChildPhase.PENDING and rayjob["spec"].get("suspend"):
        return Look(ChildPhase.QUEUED)  # KubeRay initializes a job before it suspends it
    return Look(phase)


def _complete(status: JsonObject) -> Look:
    """A job that was stopped is complete as well."""
    if status.get("jobStatus") == "SUCCEEDED":
        return Look(ChildPhase.SUCCEEDED)
    told = status.get("jobStatus") or "no status"
    return Look(ChildPhase.FAILED, Reason.JOB_FAILED, f"the Ray job ended with {told}")


def _failed(status: JsonObject) -> Look:
    """A failure that another attempt may not meet: the job's own report says more, where there is one."""
    reason, message = status.get("reason", ""), status.get("message", "")
    told = f"KubeRay says {reason or 'Failed'}{': ' if message else ''}{message}"
    return Look(ChildPhase.FAILED, _WORDS.get(reason, Reason.JOB_FAILED), told)


def _refused(status: JsonObject) -> Look:
    """KubeRay never looks at it again, whatever is mended."""
    message = f"KubeRay refuses the RayJob: {status.get('message', '')}"
    return Look(ChildPhase.FAILED, Reason.INVALID_SPEC, message, permanent=True)


_OUTCOMES: Mapping[str, Callable[[JsonObject], Look]] = {
    "Complete": _complete,
    "Failed": _failed,
    "ValidationFailed": _refused,
}
_PHASES: Mapping[str, ChildPhase] = {
    "Running": ChildPhase.RUNNING,
    "Suspending": ChildPhase.QUEUED,
    "Suspended": ChildPhase.QUEUED,
}
