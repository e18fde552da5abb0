"""A revision that was done before is not done again."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.states import move
from llmworkflow.core.view import View


def reuse(view: View) -> StageStatus | None:
    """Take the kept result; its gates are judged anew."""
    verdict = view.verdict
    if verdict is None:
        return None
    return move(
        view.status,
        StageState.CHECKING,
        Reason.REUSED,
        f"revision {verdict.revision} was done by attempt {verdict.attempt}",
        reused=True,
        attempt=verdict.attempt,
        artifact=verdict.artifact,
        metrics=verdict.metrics,
        finished_at=verdict.finished_at,
        asked=view.asked,
        judged=None,
        retry_at=None,
    )
