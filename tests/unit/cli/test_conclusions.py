"""How a run ends: its last line and its exit code, by where the workflow stands."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from llmworkflow.api.status import Condition, LLMWorkflowStatus
from llmworkflow.cli.run import conclude

GOES_ON = "Stopped; the next run goes on from here.\n"


@pytest.mark.parametrize(
    ("true", "told", "code"),
    [
        ({"Progressing"}, GOES_ON, 130),
        (set[str](), GOES_ON, 130),
        ({"Progressing", "Available"}, GOES_ON, 0),
        ({"Ready", "Available"}, GOES_ON, 0),
        ({"Ready", "Succeeded"}, "", 0),
        ({"Failed", "Stalled"}, "", 1),
        ({"Failed", "Available"}, GOES_ON, 1),
    ],
    ids=["interrupted", "suspended", "upgrading", "serving", "done", "failed", "successor failed"],
)
def test_a_run_that_ended(true: set[str], told: str, code: int) -> None:
    conditions = [
        Condition(type=kind, status="True", reason="x", message="", last_transition_time="x") for kind in true
    ]
    output = io.StringIO()
    status = LLMWorkflowStatus(observed_generation=1, conditions=conditions)
    assert conclude(status, 1, Console(file=output)) == code
    assert output.getvalue() == told
