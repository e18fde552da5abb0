"""The table of states."""

from __future__ import annotations

from itertools import product

import pytest

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.states import MESSAGE_LIMIT, TRANSITIONS, IllegalTransitionError, explain, legal, move

PAIRS = list(product(StageState, StageState))


@pytest.mark.parametrize(("before", "after"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_what_the_table_does_not_have_is_refused(before: StageState, after: StageState) -> None:
    assert not legal(before, after)
    with pytest.raises(IllegalTransitionError, match=f"stage tune: {before} -> {after}"):
        move(StageStatus(name="tune", kind="fineTune", state=before), after, Reason.RUNNING)


@pytest.mark.parametrize(("before", "after"), list(TRANSITIONS))
def test_what_the_table_has_is_done(before: StageState, after: StageState) -> None:
    moved = move(
        StageStatus(name="tune", kind="fineTune", state=before), after, Reason.RUNNING, "why", attempt=3
    )
    assert (moved.state, moved.reason, moved.message, moved.attempt) == (after, "JobRunning", "why", 3)


def test_every_state_can_be_reached_and_left() -> None:
    reached = {after for _, after in TRANSITIONS}
    left = {before for before, _ in TRANSITIONS}
    assert reached == left == set(StageState)


def test_every_transition_names_its_event() -> None:
    assert all(TRANSITIONS.values())
    assert not any(before is after for before, after in TRANSITIONS)


def test_no_state_is_a_dead_end() -> None:
    """From everywhere there is a way to where a stage starts, and from there to where it is done."""
    for start in StageState:
        assert reachable(start) >= {StageState.STARTING, StageState.SUCCEEDED, StageState.SERVING}


def test_a_child_is_removed_before_its_stage_starts_again() -> None:
    """Where a stage has a child, the way to STARTING leads over WAITING or over what the same child does."""
    same_child = {StageState.WAITING, StageState.QUEUED, StageState.RUNNING, StageState.CHECKING}
    before_starting = {before for before, after in TRANSITIONS if after is StageState.STARTING}
    assert before_starting == same_child | {StageState.AWAITING_APPROVAL}
    assert {after for before, after in TRANSITIONS if before is StageState.STOPPING} == {
        StageState.WAITING,
        StageState.CANCELLED,
    }


def test_messages_are_cut() -> None:
    status = StageStatus(name="tune", kind="fineTune")
    assert len(explain(status, Reason.PENDING, "x" * 5000).message) == MESSAGE_LIMIT


def reachable(start: StageState) -> set[StageState]:
    found, pending = {start}, [start]
    while pending:
        here = pending.pop()
        after = {then for before, then in TRANSITIONS if before is here} - found
        found |= after
        pending.extend(after)
    return found
