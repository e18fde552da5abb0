"""What the report says while a model is trained."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow_jobs import report as report_module
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.training_progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as the one element."""
    now = [100.0]
    monkeypatch.setattr(report_module.time, "monotonic", lambda: now[0])
    return now


def test_rest_is_estimated_from_the_steps_of_this_run(report: Report, sink: Any, clock: list[float]) -> None:
    """A resumed run begins in the middle: what an earlier one took does not count."""
    report.progress(0, 1, "80 rows read")
    progress = Progress(report)
    progress({"step": 60, "steps": 100, "loss": 1.23456})
    assert sink.written[-1]["progress"] == {
        "percent": 60.0,
        "etaSeconds": None,
        "message": "step 60/100, loss 1.235",
    }
    clock[0] += 20
    progress({"step": 70, "steps": 100, "eval_loss": 0.5})
    assert sink.written[-1]["progress"] == {
        "percent": 70.0,
        "etaSeconds": 60,
        "message": "step 70/100, eval loss 0.5",
    }
