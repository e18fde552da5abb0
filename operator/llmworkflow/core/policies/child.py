"""What the look at a child says about the child itself: its uid, its loss, an edit by hand."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.observation import ChildPhase
from llmworkflow.core.policies.retry import Failure, failed, stop
from llmworkflow.core.states import clip
from llmworkflow.core.view import View, keeps_child

_S = StageState
_NOT_BEGUN = (ChildPhase.QUEUED, ChildPhase.PENDING)


def learn(view: View) -> StageStatus | None:
    """Keep the child's uid, its progress, and forget a child that is gone and not needed."""
    status, seen = view.status, view.seen
    if status.child is None:
        return None
    if seen and status.child.uid is None:
        return status.model_copy(update={"child": status.child.model_copy(update={"uid": seen.uid})})
    if not keeps_child(status) and status.state is not _S.STOPPING and view.gone and not view.named:
        return status.model_copy(update={"child": None})
    if status.state is _S.SERVING and status.serving and seen and seen.url not in (None, status.serving.url):
        return status.model_copy(update={"serving": status.serving.model_copy(update={"url": seen.url})})
    report = view.report
    if status.state is _S.RUNNING and report and report.progress:
        message = clip(report.progress.message)
        return status.model_copy(update={"progress": report.progress.model_copy(update={"message": message})})
    return None


def lost(view: View) -> StageStatus | None:
    """A child that was there and is gone, or is being deleted by somebody: another attempt."""
    status, seen = view.status, view.seen
    if not keeps_child(status) or status.child is None or status.child.uid is None:
        return None
    if seen and not seen.terminating:
        return None
    if _makes_room(view):
        message = (
            f"RayService {status.child.name} ends before its successor starts, as serve.upgrade is replace"
        )
        return stop(view, status, Reason.REVISED, message)
    message = f"{status.child.kind} {status.child.name} was deleted by somebody else"
    return failed(view, Failure(Reason.LOST, message))


def _makes_room(view: View) -> bool:
    """Whether the service was deleted so that what it is brought to gets its accelerators."""
    serve, seen = view.stage.serve, view.seen
    if serve is None or serve.upgrade != "replace":
        return False
    if view.status.state is _S.UPGRADING and not view.told:
        return True
    return seen is not None and seen.settings not in ("", view.settings)


def outdated(view: View) -> StageStatus | None:
    """A job that does not run yet has nothing to lose: it is made anew with the settings that the spec has now."""
    seen = view.seen
    if seen is None or seen.phase not in _NOT_BEGUN or not keeps_child(view.status):
        return None
    if seen.terminating or seen.settings in ("", view.settings):
        return None
    message = f"{seen.kind} {seen.name} is made anew, as its settings were edited before it ran"
    return stop(view, view.status, Reason.REVISED, message)


def edited(view: View) -> StageStatus | None:
    """A job that was edited by hand no longer does what was asked: it is made anew, at no cost."""
    seen = view.seen
    if seen is None or not seen.edited or not keeps_child(view.status):
        return None
    return stop(
        view,
        view.status,
        Reason.EDITED,
        f"{seen.kind} {seen.name} was edited by hand; it is made anew as the spec says",
    )
