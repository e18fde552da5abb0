"""Small builders for what the planner takes: workflows, children and reports."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.report import JobReport, parse_report

UID = "11111111-1111-1111-1111-111111111111"
START = datetime(2026, 1, 1, tzinfo=UTC)
BETTER = {"metric": "exactMatch", "betterThan": "serving"}

SPEC: dict[str, Any] = {
    "model": {"source": "volume:models/base"},
    "storage": {"volume": {"claimName": "artifacts"}},
    "stages": [
        {"name": "tune", "fineTune": {"data": {"train": [{"uri": "volume:train.jsonl"}]}}},
        {
            "name": "score",
            "batch": {
                "model": {"stage": "tune"},
                "input": {"uri": "volume:test.jsonl"},
                "evaluate": {"metrics": ["exactMatch"]},
            },
            "gates": [{"metric": "exactMatch", "min": 0.5}],
        },
        {"name": "chat", "serve": {"models": [{"modelId": "viggo", "model": {"stage": "tune"}}]}},
    ],
}


def workflow(
    *edits: tuple[str, Any],
    spec: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    **metadata: Any,
) -> LLMWorkflow:
    """A workflow that tunes, scores and serves, with edits of its spec as (dotted path, value)."""
    content = copy.deepcopy(spec or SPEC)
    for path, value in edits:
        set_at(content, path, value)
    return LLMWorkflow.model_validate(
        {
            "metadata": {"name": "viggo", "uid": UID, "annotations": annotations or {}, **metadata},
            "spec": content,
        }
    )


def set_at(content: Any, path: str, value: Any) -> None:
    """Set the value at a dotted path, such as stages.0.retries; None removes it."""
    *parents, last = path.split(".")
    for part in parents:
        content = content[int(part)] if part.isdigit() else content.setdefault(part, {})
    if last.isdigit():
        content[int(last)] = value
    elif value is None:
        content.pop(last, None)
    else:
        content[last] = value


def report(stage: str, revision: str, attempt: int, **content: Any) -> JobReport:
    """A job's report of one attempt."""
    known = {"schemaVersion": 1, "workflow": UID, "stage": stage, "revision": revision, "attempt": attempt}
    parsed = parse_report({"state": "Running", **known, **content})
    assert parsed is not None
    return parsed


def artifact(name: str, kind: str = "rows") -> dict[str, Any]:
    """What a job says that it made."""
    return {"uri": f"file:///artifacts/{name}", "digest": f"sha256:{name}", "type": kind}


def score(value: float | None, **more: Any) -> dict[str, Any]:
    """The metrics of a batch with one score over 200 rows."""
    return {"exactMatch": {"value": value, "n": 200, "errors": 0, **more}}
