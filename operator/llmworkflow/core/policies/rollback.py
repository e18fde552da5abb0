"""A person takes a promotion back: what served before serves again, until the spec changes."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import Promotion, Refusal, StageState, StageStatus
from llmworkflow.core.policies.promotion import bring
from llmworkflow.core.requests import Request
from llmworkflow.core.view import View

_UP = (StageState.SERVING, StageState.UPGRADING, StageState.DEGRADED)


def roll_back(view: View, request: Request) -> StageStatus | None:
    """Bring the service back to the promotion that the request names, or to the one before."""
    status = view.status
    goal = _predecessor(view, request.revision)
    if status.state not in _UP or view.suspended or goal is None:
        return None
    by = request.user or "an unnamed user"
    message = f"rolled back to revision {goal.revision} by {by}; it stays until the spec changes"
    pinned = goal.model_copy(update={"pinned": True, "user": request.user})
    refusal = Refusal(revision=view.revision, reason=str(Reason.ROLLED_BACK), message=message)
    refused = status.model_copy(update={"refused": refusal})
    if status.serving and status.serving.digest == goal.digest:
        refused = refused.model_copy(update={"serving": pinned})
    return bring(view.now_at(refused), pinned, Reason.ROLLED_BACK, message)


def _predecessor(view: View, revision: str) -> Promotion | None:
    """What to go back to: of an upgrade under way what serves, else what served before; never what is brought in."""
    serving, candidate = view.status.serving, view.status.candidate
    if serving is None:
        return None
    upgrading = candidate is not None and candidate.digest != serving.digest
    if not upgrading and revision == serving.revision:
        return None
    known = [serving] if upgrading else []
    known += [old for old in view.world.history if old.stage == view.stage.name]
    others = (old for old in known if candidate is None or old.digest != candidate.digest)
    return next((old for old in others if revision in ("", old.revision)), None)
