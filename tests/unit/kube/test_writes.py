"""Progress waits for its turn; everything else is written at once."""

from __future__ import annotations

import pytest

from llmworkflow.api.names import Reason
from llmworkflow.api.status import Child, Condition, LLMWorkflowStatus, Progress, StageState, StageStatus
from llmworkflow.kube.writes import is_quiet

BEFORE = StageStatus(name="tune", kind="fineTune", child=Child(kind="RayJob", name="a"))


def status(**changes: object) -> LLMWorkflowStatus:
    return LLMWorkflowStatus(phase="Running", stages=[BEFORE.model_copy(update=changes)])


@pytest.mark.parametrize(
    ("after", "quiet"),
    [
        (status(progress=Progress(percent=10)), True),
        (status(child=Child(kind="RayJob", name="a", uid="1")), True),
        (status(child=Child(kind="RayJob", name="b", uid="1")), False),
        (status(child=None), False),
        (status(state=StageState.RUNNING, progress=Progress(percent=10)), False),
        (status(message="pods wait"), False),
        (status().model_copy(update={"phase": "Serving"}), False),
        (LLMWorkflowStatus(phase="Running"), False),
    ],
)
def test_what_is_quiet(after: LLMWorkflowStatus, quiet: bool) -> None:
    assert is_quiet(status(), after) is quiet


def test_uid_that_changes_is_news() -> None:
    known = status(child=Child(kind="RayJob", name="a", uid="1"))
    assert not is_quiet(known, status(child=Child(kind="RayJob", name="a", uid="2")))


@pytest.mark.parametrize(("state", "quiet"), [(StageState.SUCCEEDED, True), (StageState.STOPPING, False)])
def test_child_that_is_gone_is_news_where_it_was_waited_for(state: StageState, quiet: bool) -> None:
    before = status(state=state, child=Child(kind="RayJob", name="a", uid="1"))
    assert is_quiet(before, status(state=state, child=None)) is quiet


@pytest.mark.parametrize(("message", "quiet"), [("", True), ("no node has a GPU", False)])
def test_pods_that_are_waited_for_are_news_once_something_is_amiss(message: str, quiet: bool) -> None:
    asked = status(state=StageState.STARTING, reason=Reason.CREATED, message="RayJob a is requested")
    waits = status(state=StageState.STARTING, reason=Reason.PENDING, message=message)
    assert is_quiet(_with_condition(asked), _with_condition(waits)) is quiet


def _with_condition(status: LLMWorkflowStatus) -> LLMWorkflowStatus:
    """With a condition that speaks of the stage, as the planner writes them."""
    stage = status.stages[0]
    told = Condition(
        type="Progressing",
        status="True",
        reason=stage.reason,
        message=stage.message,
        last_transition_time="2026-01-01T00:00:00Z",
    )
    return status.model_copy(update={"conditions": [told]})
