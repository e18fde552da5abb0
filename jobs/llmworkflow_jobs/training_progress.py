"""Progress of a fine-tuning, from what its trainer logs."""

from __future__ import annotations

from typing import Any

from llmworkflow_jobs.report import Report


class Progress:
    """Brings {step, steps, loss, eval_loss}, the losses as far as they are new, into the job's report."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def __call__(self, latest: dict[str, Any]) -> None:
        step, steps = latest["step"], latest["steps"]
        losses = [
            f"{key.replace('_', ' ')} {latest[key]:.4g}" for key in ("loss", "eval_loss") if key in latest
        ]
        self._report.progress(step, steps, ", ".join([f"step {step}/{steps}", *losses]))
