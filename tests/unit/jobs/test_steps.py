"""A step is done here, or by processes of Ray Data with what the resource asks for."""

from __future__ import annotations

import pickle

import pytest

from llmworkflow_jobs import steps

UNSET = {"concurrency": None, "batchSize": None, "cpu": None, "memory": None}


def test_a_step_of_which_nothing_is_said_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "connect", lambda: pytest.fail("Ray is not needed"))
    assert steps.mapped(str.upper, iter(["a", "b"]), UNSET, 1) == ["A", "B"]


def test_a_process_takes_items_of_any_kind_and_keeps_their_place() -> None:
    items = [{"image": b"\0", "when": None}, ("a", 1)]
    made = steps.Worker(repr)(steps._table([None, *items], 1, 2))
    assert made["place"].to_pylist() == [1, 2]
    assert [pickle.loads(item) for item in made["item"].to_pylist()] == [repr(item) for item in items]
