"""What a person sees of texts that others wrote: the texts themselves."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.console import Console

from llmworkflow.api.status import LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.cli.view import _time, columns, show, tree

TEXTS = ["pip install 'llmworkflow[local]'", "volumes=[data]", "a prompt ends in [/INST]"]


@pytest.mark.parametrize("text", TEXTS)
def test_brackets_in_a_table_are_printed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = columns("REMEDY")
    table.add_row(text)
    show(table)
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("state", [StageState.STARTING, StageState.FAILED])
@pytest.mark.parametrize("text", TEXTS)
def test_brackets_in_a_message_are_printed(
    text: str, state: StageState, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = StageStatus(name="tune", kind="fineTune", state=state, message=text)
    drawn = tree("viggo", LLMWorkflowStatus(stages=[stage]), datetime(2026, 1, 1, tzinfo=UTC))
    Console(width=200).print(drawn)  # a console of its own, as a run's is
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "told"),
    [(StageState.RUNNING, "60m00s"), (StageState.QUEUED, ""), (StageState.WAITING, "")],
)
def test_time_counts_while_something_runs(state: StageState, told: str) -> None:
    stage = StageStatus(name="tune", kind="fineTune", state=state, started_at="2026-01-01T00:00:00Z")
    assert _time(stage, datetime(2026, 1, 1, 1, tzinfo=UTC)) == told
