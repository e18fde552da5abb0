"""Suspension: what runs is stopped at no cost, and nothing starts or is decided."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.policies.retry import stop
from llmworkflow.core.view import View, keeps_child

_MESSAGE = "the workflow is suspended; set spec.suspend to false to go on"


def suspend(view: View) -> StageStatus | None:
    """Remove the child, a served endpoint's too; a finished job keeps its turn to report."""
    if not view.suspended or not keeps_child(view.status) or _finished(view):
        return None
    return stop(view, view.status, Reason.SUSPENDED, _MESSAGE)


def suspended(view: View) -> Hold | None:
    """Nothing starts."""
    return Hold(StageState.QUEUED, Reason.SUSPENDED, _MESSAGE) if view.suspended else None


def _finished(view: View) -> bool:
    return view.status.state is StageState.CHECKING and view.stage.serve is None
