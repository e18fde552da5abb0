"""Suspension, and the end of a run on one machine: what runs is stopped at no cost, and nothing starts."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.policies.retry import stop
from llmworkflow.core.view import View, keeps_child

_SUSPENDED = (Reason.SUSPENDED, "the workflow is suspended; set spec.suspend to false to go on")
_ENDED = (Reason.RUN_ENDED, "the run was stopped; `llmworkflow run FILE --local` goes on")


def suspend(view: View) -> StageStatus | None:
    """Remove the child, a served endpoint's too; a finished job keeps its turn to report."""
    why = _why(view)
    if why is None or not keeps_child(view.status) or _finished(view):
        return None
    return stop(view, view.status, *why)


def suspended(view: View) -> Hold | None:
    """Nothing starts."""
    why = _why(view)
    return Hold(StageState.QUEUED, *why) if why else None


def _why(view: View) -> tuple[Reason, str] | None:
    """Why nothing is to run, if that is so; what a person asked for goes before how the run ended."""
    if view.suspended:
        return _SUSPENDED
    return _ENDED if view.world.observed.ending else None


def _finished(view: View) -> bool:
    return view.status.state is StageState.CHECKING and view.stage.serve is None
