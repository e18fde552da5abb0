"""What may be removed from the storage, and above all what may not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow.api.status import LLMWorkflowStatus, Promotion, StageStatus, Verdict
from llmworkflow.core.retention import Key, Stored, removable
from llmworkflow.core.revision import revisions

from .builders import workflow

KEEP = ("storage.retention.keepRevisions", 1)


def rev(number: int) -> str:
    return f"{number:012x}"


def tuned(number: int, attempt: int = 1, finished: bool = True) -> Stored:
    return Stored(("tune", rev(number), attempt), f"2026-01-{number:02}T00:00:00Z" if finished else None)


def scored(number: int, of: int) -> Stored:
    key = ("score", rev(number), 1)
    return Stored(key, f"2026-02-{number:02}T00:00:00Z", frozenset({("tune", rev(of), 1)}))


def verdict(kind: str, number: int, attempt: int = 1) -> Verdict:
    return Verdict(kind=kind, revision=rev(number), attempt=attempt, finished_at="2026-01-01T00:00:00Z")  # type: ignore[arg-type]


def promotion(number: int) -> Promotion:
    inputs = {"tune": verdict("fineTune", number)}
    return Promotion(
        stage="chat", revision=rev(number), digest=rev(number), model_id="viggo", inputs=inputs, since="2026"
    )


def gone(stored: list[Stored], status: LLMWorkflowStatus | None = None, *edits: Any) -> list[Key]:
    found = removable(workflow(KEEP, *edits), status or LLMWorkflowStatus(), stored)
    return [item.key for item in found]


@pytest.mark.capability("retention")
def test_the_newest_revisions_of_each_stage_stay() -> None:
    stored = [*(tuned(number) for number in (1, 2, 3)), scored(4, of=3), scored(5, of=3)]
    assert gone(stored) == [("tune", rev(1), 1), ("tune", rev(2), 1), ("score", rev(4), 1)]
    edit = ("storage.retention.keepRevisions", 2)
    assert gone(stored, None, edit) == [("tune", rev(1), 1)]


def test_an_input_of_what_stays_stays() -> None:
    assert gone([tuned(1), tuned(2), tuned(3), scored(4, of=1)]) == [("tune", rev(2), 1)]


def test_inputs_of_inputs_stay() -> None:
    middle = Stored(("label", rev(2), 1), "2026-01-02T00:00:00Z", frozenset({("tune", rev(1), 1)}))
    last = Stored(("score", rev(3), 1), "2026-01-03T00:00:00Z", frozenset({middle.key}))
    newer = [tuned(5), Stored(("label", rev(6), 1), "2026-01-06T00:00:00Z")]
    assert gone([tuned(1), middle, last, *newer]) == []


@pytest.mark.capability("retention")
@pytest.mark.parametrize("place", ["serving", "candidate", "status", "history"])
def test_what_serves_will_serve_or_served_last_stays(place: str) -> None:
    served = promotion(1)
    of_stage = {place: served} if place in ("serving", "candidate") else {}
    status = LLMWorkflowStatus(
        serving=served if place == "status" else None,
        history=[served, promotion(2)] if place == "history" else [],
        stages=[StageStatus(name="chat", kind="serve", **of_stage)],
    )
    assert gone([tuned(1), tuned(2), tuned(3)], status) == [("tune", rev(2), 1)]


def test_what_a_stage_stands_on_stays_although_it_is_old() -> None:
    tune = StageStatus(name="tune", kind="fineTune", revision=rev(1), results=[verdict("fineTune", 1)])
    status = LLMWorkflowStatus(stages=[tune])
    assert gone([tuned(1), tuned(2), tuned(3)], status) == [("tune", rev(2), 1)]


def test_checkpoints_of_what_runs_or_is_wanted_stay() -> None:
    wanted = revisions(workflow(KEEP), LLMWorkflowStatus().resolved)["tune"]
    running = StageStatus(name="tune", kind="fineTune", revision=rev(7), attempt=2)
    stored = [Stored(("tune", wanted, 1)), tuned(7, 1, finished=False), tuned(7, 2, finished=False)]
    assert gone(stored, LLMWorkflowStatus(stages=[running])) == []


def test_a_revision_that_is_made_again_keeps_all_its_attempts() -> None:
    again = StageStatus(name="tune", kind="fineTune", revision=rev(1), attempt=2)
    assert gone([tuned(1), tuned(1, 2, finished=False), tuned(2)], LLMWorkflowStatus(stages=[again])) == []


def test_attempts_that_came_to_nothing_go() -> None:
    tune = StageStatus(name="tune", kind="fineTune", revision=rev(2), results=[verdict("fineTune", 2, 2)])
    stored = [tuned(1, finished=False), tuned(2, 1, finished=False), tuned(2, 2)]
    assert gone(stored, LLMWorkflowStatus(stages=[tune])) == [("tune", rev(1), 1), ("tune", rev(2), 1)]


def test_a_status_that_was_lost_costs_no_artifact_beyond_the_retention() -> None:
    assert gone([tuned(1), scored(2, of=1)]) == []


@given(st.sets(st.integers(1, 9)), st.dictionaries(st.integers(10, 19), st.integers(1, 9)), st.integers(1, 4))
def test_whatever_there_is_what_stays_has_its_inputs(
    tunes: set[int], scores: dict[int, int], keep: int
) -> None:
    stored = [tuned(number) for number in tunes] + [scored(number, of) for number, of in scores.items()]
    going = set(gone(stored, None, ("storage.retention.keepRevisions", keep)))
    staying = [item for item in stored if item.key not in going]
    assert not going & {key for item in staying for key in item.inputs}
    assert len([item for item in staying if item.key[0] == "score"]) == min(keep, len(scores))
