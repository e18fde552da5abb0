"""What Events say, and of what there are any."""

from __future__ import annotations

from datetime import UTC, datetime

from llmworkflow.api.status import LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.core.actions import Transition
from llmworkflow.kube.events import Told, events_of, of_transitions, of_troubles

NOW = datetime(2026, 1, 1, tzinfo=UTC)
METADATA = {"name": "viggo", "namespace": "team", "uid": "u", "resourceVersion": "1"}


def status(reason: str, message: str = "", state: StageState = StageState.STARTING) -> LLMWorkflowStatus:
    stage = StageStatus(name="tune", kind="fineTune", state=state, reason=reason, message=message)
    return LLMWorkflowStatus(stages=[stage])


def test_a_transition_that_ends_badly_is_a_warning() -> None:
    steps = [
        Transition("tune", StageState.STARTING, StageState.RUNNING, "JobRunning", ""),
        Transition("tune", StageState.RUNNING, StageState.FAILED, "DataInvalid", "no JSON"),
    ]
    assert list(of_transitions(steps)) == [
        Told("JobRunning", "tune: Starting -> Running", "Normal"),
        Told("DataInvalid", "tune: Running -> Failed: no JSON", "Warning"),
    ]


def test_what_a_stage_waits_for_is_told_once() -> None:
    waits = status("SecretMissing", "create it")
    assert list(of_troubles(status("PodsPending"), waits)) == [Told("SecretMissing", "tune: create it")]
    assert list(of_troubles(waits, status("SecretMissing", "create it!"))) == []
    assert list(of_troubles(waits, status("JobRunning"))) == []


def test_a_spec_of_which_nothing_can_be_made_is_told() -> None:
    waits = status("InvalidSpec", "no such profile", StageState.WAITING)
    assert list(of_troubles(LLMWorkflowStatus(), waits)) == [Told("InvalidSpec", "tune: no such profile")]
    assert list(of_troubles(waits, waits)) == []


def test_events_of_one_moment_have_names_of_their_own() -> None:
    first, second = events_of(METADATA, [Told("A", "x" * 2000), Told("B", "b", "Normal")], NOW)
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert len(first["message"]) == 1024
    assert (first["type"], second["type"]) == ("Warning", "Normal")
    assert first["involvedObject"]["uid"] == "u"
