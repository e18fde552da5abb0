"""Relative paths of a workflow file, which mean something on the machine that holds the file only."""

from pathlib import Path
from typing import Any

from llmworkflow.api.spec.workflow import LLMWorkflow

_PATH_FIELDS = {"uri", "source"}


def with_absolute_paths(workflow: LLMWorkflow, folder: Path) -> LLMWorkflow:
    """The workflow with each relative path of data and models taken from a folder."""
    content = workflow.written()
    content["spec"] = _absolute(content["spec"], folder)
    return LLMWorkflow.model_validate(content)


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: str((folder / item).resolve())
        if key in _PATH_FIELDS and _is_relative(item)
        else _absolute(item, folder)
        for key, item in value.items()
    }


def _is_relative(value: Any) -> bool:
    return isinstance(value, str) and ":" not in value.split("/", 1)[0] and not value.startswith("/")
