"""An endpoint counts as serving once it answers as the batch did; one that stops doing so is degraded."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus, Verification
from llmworkflow.core.observation import ChildPhase
from llmworkflow.core.policies.promotion import refuse
from llmworkflow.core.policies.retry import Failure, failed
from llmworkflow.core.policies.timeout import overdue
from llmworkflow.core.policies.verdict import failure_of
from llmworkflow.core.states import clip, explain, move
from llmworkflow.core.view import View

_S = StageState
_UNVERIFIED = (_S.STARTING, _S.RUNNING, _S.CHECKING)


def verify(view: View) -> StageStatus | None:
    """Promote what answers as the batch did, and refuse what does not."""
    status = view.status
    if status.state not in (_S.CHECKING, _S.UPGRADING) or not _ready(view):
        return None
    verification = _verification(view)
    if verification is None:
        asked = "rows of the batch are being replayed through it" if _replays(view) else "it is greeted"
        return explain(status, Reason.VERIFYING, f"the endpoint is ready; {asked}")
    if not verification.passed:
        shown = view.now_at(status.model_copy(update={"verification": verification}))
        return fail_service(shown, _differs(verification))
    return _promoted(view, verification)


def fall(view: View) -> StageStatus | None:
    """The service failed for good before it was verified, or takes too long to be."""
    status = view.status
    if status.state not in (*_UNVERIFIED, _S.UPGRADING):
        return None
    if failure := failure_of(view):
        return fail_service(view, failure)
    late = overdue(view)
    if late and status.state is _S.UPGRADING and status.candidate is None:
        return move(status, _S.DEGRADED, late.reason, late.message)
    return fail_service(view, late) if late else None


def die(view: View) -> StageStatus | None:
    """What served failed for good: it is made anew."""
    status, seen = view.status, view.seen
    if status.state not in (_S.SERVING, _S.DEGRADED) or seen is None or seen.phase is not ChildPhase.FAILED:
        return None
    message = seen.message or f"{seen.kind} {seen.name} failed for good"
    return failed(view, Failure(seen.reason or Reason.UNHEALTHY, message))


def fail_service(view: View, failure: Failure) -> StageStatus:
    """A candidate that fails is refused where something served before; else the attempt failed."""
    status = view.status
    if status.candidate and status.serving:
        return refuse(view, failure)
    return failed(view, failure)


def degrade(view: View) -> StageStatus | None:
    """Watch what serves: it is as well as its last verdict says, which is told anew whenever its engines start."""
    status, seen, verification = view.status, view.seen, _verification(view)
    if verification is None:
        return None
    if status.state is _S.SERVING and not verification.passed:
        return move(status, _S.DEGRADED, Reason.VERIFICATION_FAILED, _differs(verification).message)
    if status.state is _S.DEGRADED and seen and seen.phase is ChildPhase.READY and verification.passed:
        return move(status, _S.SERVING, Reason.SERVING)
    return None


def _promoted(view: View, verification: Verification) -> StageStatus:
    status, seen = view.status, view.seen
    target = status.candidate or status.serving
    assert target is not None and seen is not None, "what is ready was asked for"
    since = view.time if status.candidate else target.since
    return move(
        status,
        _S.SERVING,
        Reason.SERVING,
        verification.message,
        serving=target.model_copy(update={"since": since, "url": seen.url}),
        candidate=None,
        verification=verification,
        failures=0,
        approval=None,
        refused=None if status.candidate and not target.pinned else status.refused,
        finished_at=view.time,
    )


def _ready(view: View) -> bool:
    """Whether the service runs what the stage was last brought to."""
    seen = view.seen
    return seen is not None and view.told and not seen.terminating and seen.phase is ChildPhase.READY


def _replays(view: View) -> bool:
    """Whether there are rows of a batch to verify by."""
    target = view.status.candidate or view.status.serving
    return target is not None and target.replay is not None


def _verification(view: View) -> Verification | None:
    report, status = view.report, view.status
    if report is None or report.verification is None or status.revision is None:
        return None
    found = report.verification
    return Verification(
        revision=status.revision,
        rows=found.rows,
        agreement=found.agreement,
        passed=found.passed,
        message=clip(found.message),
    )


def _differs(verification: Verification) -> Failure:
    if not verification.rows:
        return Failure(Reason.VERIFICATION_FAILED, verification.message, retryable=False)
    message = (
        f"{verification.agreement:.3g} of {verification.rows} replayed rows were answered as in the batch"
        f"{': ' if verification.message else ''}{verification.message}"
    )
    return Failure(Reason.VERIFICATION_FAILED, message, retryable=False)
