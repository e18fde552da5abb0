"""Which changes of a status are worth a write of their own."""

from collections.abc import Sequence
from typing import Any

from llmworkflow.api.names import Reason
from llmworkflow.api.status import LLMWorkflowStatus, StageState, StageStatus

QUIET_SECONDS = 60.0
"""How long what is quiet may wait for a write."""


def is_quiet(before: LLMWorkflowStatus, after: LLMWorkflowStatus) -> bool:
    """Whether only progress is new, or that a child was made of which nothing is amiss, or that one is done and gone.

    That can wait for the next write: what is not written of a child is learnt again at the next look.
    """
    return _without(before, after.stages) == _without(after, after.stages)


def _without(status: LLMWorkflowStatus, like: Sequence[StageStatus]) -> LLMWorkflowStatus:
    now = {stage.name: stage for stage in like}
    stages = [_muted(stage, now[stage.name]) if stage.name in now else stage for stage in status.stages]
    words = {"reason": "", "message": ""}  # which conditions have from the stages
    conditions = [condition.model_copy(update=words) for condition in status.conditions]
    return status.model_copy(update={"stages": stages, "conditions": conditions})


def _muted(stage: StageStatus, now: StageStatus) -> StageStatus:
    update: dict[str, Any] = {"progress": now.progress}
    if stage.child and now.child and stage.child.name == now.child.name and stage.child.uid is None:
        update["child"] = now.child
    if now.child is None and stage.state is now.state is StageState.SUCCEEDED:
        update["child"] = None
    if (stage.state, stage.reason, now.reason) == _CREATED and not now.message:
        update |= {"reason": now.reason, "message": now.message}
    return stage.model_copy(update=update)


_CREATED = (StageState.STARTING, Reason.CREATED, Reason.PENDING)
"""A child that was asked for is there, and waits for its pods as every child does."""
