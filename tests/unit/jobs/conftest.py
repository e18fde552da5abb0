"""Configurations and reports without files."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.report import Report


class MemorySink:
    """Keeps every report that was written, the newest last."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def write(self, text: str) -> None:
        self.written.append(json.loads(text))


@pytest.fixture
def fine_tune(stage_config: Callable[..., dict[str, Any]]) -> Callable[..., JobConfig]:
    """A function (**changes) that returns the configuration of a fine-tuning."""
    return lambda **changes: parse(stage_config("fineTune", **changes))


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def report(fine_tune: Callable[..., JobConfig], sink: MemorySink) -> Report:
    return Report(fine_tune(), sink)
