"""A workflow with three revisions: 16 rows of a run of the demo, the later two with answers and losses changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyarrow import fs

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.page.gather import gather
from llmworkflow.page.sources import Sources

FOLDER = Path(__file__).parents[2] / "data" / "report"
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
FIRST, SECOND, THIRD = "b54e894e178f", "90cd1e72fa31", "c7ab12e055d9"  # revisions of the scored stage


def workflow() -> LLMWorkflow:
    return LLMWorkflow.model_validate(read("workflow.json"))


def status() -> LLMWorkflowStatus:
    return LLMWorkflowStatus.model_validate(read("status.json"))


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def open_uri(uri: str) -> tuple[fs.FileSystem, str]:
    return fs.LocalFileSystem(), str(FOLDER / uri.removeprefix("file:///"))


def sources(of: LLMWorkflowStatus | None = None, *, accelerated: bool = False) -> Sources:
    return gather(workflow(), of or status(), NOW, accelerated, open_uri)


def prompt(row: dict[str, Any]) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{row['instruction']}\n{row['input']}"}]
