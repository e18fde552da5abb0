"""A stage asks for what the installation does not have: it waits, and says so, while the others go on."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.policies.retry import stop
from llmworkflow.core.view import View


def unrenderable(view: View) -> Hold | None:
    """Why no child can be made of what the stage asks for."""
    problem = view.world.observed.unrenderable.get(view.stage.name)
    return None if problem is None else Hold(StageState.WAITING, Reason.INVALID_SPEC, problem)


def withdraw(view: View) -> StageStatus | None:
    """Take back the request for a child, which was never made."""
    hold, status = unrenderable(view), view.status
    requested = status.state is StageState.STARTING and view.named is None
    return stop(view, status, hold.reason, hold.message) if hold and requested else None
