"""How a job came out. Its own report decides wherever there is one; KubeRay's word counts only without it."""

from itertools import islice

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus, Verdict
from llmworkflow.core.clock import after
from llmworkflow.core.graph import references
from llmworkflow.core.observation import ChildPhase
from llmworkflow.core.policies.retry import Failure, end_attempt, failed
from llmworkflow.core.report import JobReport
from llmworkflow.core.states import move
from llmworkflow.core.view import View

REPORT_GRACE_SECONDS = 60  # between the end of a job and the arrival of what it reported last

METRICS_KEPT = 32  # of one result, so that a status stays small

_S = StageState
_WORKING = (_S.STARTING, _S.RUNNING)


def succeeded(view: View) -> StageStatus | None:
    """The job reported success: keep the verdict, so that nothing done to the child later matters."""
    status, report = view.status, view.report
    unjudged = status.state is _S.CHECKING and view.verdict is None
    if not (status.state in _WORKING or unjudged) or report is None or not _done(view, report):
        return None
    if status.state is _S.STARTING:
        return move(status, _S.RUNNING, Reason.RUNNING, running_at=view.time)
    assert status.revision is not None, "a stage that runs has a revision"
    verdict = Verdict(
        kind=view.stage.kind,
        revision=status.revision,
        attempt=status.attempt,
        artifact=report.artifact,
        metrics=dict(islice(report.metrics.items(), METRICS_KEPT)),
        finished_at=view.time,
        read=status.read,
    )
    changes = {
        "artifact": report.artifact,
        "metrics": verdict.metrics,
        "finished_at": view.time,
        "progress": None,
        "failures": 0,
        "misses": [],
        "results": kept(view, verdict),
    }
    ended = end_attempt(view, Reason.COMPLETED, "").model_copy(update=changes)
    return ended if unjudged else move(ended, _S.CHECKING, Reason.CHECKING)


def unreported(view: View) -> StageStatus | None:
    """The job ended well and its report is not there: give it a moment, then try again."""
    status, seen = view.status, view.seen
    if seen is None or seen.phase is not ChildPhase.SUCCEEDED or (view.report and _done(view, view.report)):
        return None
    if status.state is _S.RUNNING:
        message = f"{seen.kind} {seen.name} succeeded; waiting for its report"
        return move(status, _S.CHECKING, Reason.REPORT_AWAITED, message, finished_at=view.time)
    if status.state is not _S.CHECKING or view.verdict or status.finished_at is None:
        return None
    if view.world.now < after(status.finished_at, REPORT_GRACE_SECONDS):
        return None
    message = f"{seen.kind} {seen.name} succeeded but reported no artifact within {REPORT_GRACE_SECONDS} s"
    return failed(view, Failure(Reason.ARTIFACT_MISSING, message))


def broken(view: View) -> StageStatus | None:
    """The job failed, by its own word or, where it said nothing, by KubeRay's."""
    failure = failure_of(view)
    if view.status.state not in (*_WORKING, _S.CHECKING) or view.verdict or failure is None:
        return None
    return failed(view, failure)


def failure_of(view: View) -> Failure | None:
    """Why the child's work came to nothing, None while it has not."""
    seen, report = view.seen, view.report
    if report and _done(view, report):
        return None
    if report and report.state == "Failed" and report.error:
        return _reported(view, report)
    if seen is None or seen.phase is not ChildPhase.FAILED or not view.told:
        return None
    message = seen.message or f"{seen.kind} {seen.name} failed and said nothing; see its logs"
    if seen.reason == Reason.PENDING_TIMEOUT:
        return _never_came(view, message)
    return Failure(seen.reason or Reason.JOB_FAILED, message, retryable=not seen.permanent)


def _never_came(view: View, message: str) -> Failure:
    """KubeRay waited no longer, and does not say for what; as where the planner does, another attempt would, too."""
    waited = f": {view.status.message}" if view.status.state is _S.STARTING and view.status.message else ""
    return Failure(Reason.PENDING_TIMEOUT, f"{message}{waited}", retryable=False)


def kept(view: View, verdict: Verdict) -> list[Verdict]:
    """The verdicts with a new one, as many as the storage keeps revisions."""
    others = [result for result in view.status.results if result.revision != verdict.revision]
    return [verdict, *others][: view.world.workflow.spec.storage.retention.keep_revisions]


def _done(view: View, report: JobReport) -> bool:
    return report.state == "Succeeded" and (report.artifact is not None or view.stage.kind == "prefetch")


def _reported(view: View, report: JobReport) -> Failure:
    """What the job says of its failure; one without its input is tried again after the maker's next attempt."""
    assert report.error is not None, "the caller looked"
    error = report.error
    if error.reason != Reason.ARTIFACT_MISSING:
        return Failure(error.reason, error.message, error.retryable)
    makers = [view.world.stages[name] for name in references(view.stage)]
    if not makers:  # what is gone is the stage's own, which nobody makes again
        return Failure(error.reason, error.message, error.retryable)
    # All that the job reads, where it names none.
    misses = [error.artifact] if error.artifact else [made.artifact.uri for made in makers if made.artifact]
    return Failure(error.reason, error.message, retryable=True, misses=misses)
