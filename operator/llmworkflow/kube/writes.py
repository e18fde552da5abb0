"""Which changes of a status are worth a write of their own."""

from collections.abc import Sequence
from typing import Any

from llmworkflow.api.status import LLMWorkflowStatus, StageStatus

QUIET_SECONDS = 60.0
"""How long what is quiet may wait for a write."""


def is_quiet(before: LLMWorkflowStatus, after: LLMWorkflowStatus) -> bool:
    """Whether only progress, or the uid of a child that was just made, is new: that can wait for the next write.

    A uid that is not written is learnt again at the next look.
    """
    return _without(before, after.stages) == _without(after, after.stages)


def _without(status: LLMWorkflowStatus, like: Sequence[StageStatus]) -> LLMWorkflowStatus:
    now = {stage.name: stage for stage in like}
    stages = [_muted(stage, now[stage.name]) if stage.name in now else stage for stage in status.stages]
    return status.model_copy(update={"stages": stages})


def _muted(stage: StageStatus, now: StageStatus) -> StageStatus:
    update: dict[str, Any] = {"progress": now.progress}
    if stage.child and now.child and stage.child.name == now.child.name and stage.child.uid is None:
        update["child"] = now.child
    return stage.model_copy(update=update)
