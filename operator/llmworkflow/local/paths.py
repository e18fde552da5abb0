"""Relative paths of a workflow file, which mean something on the machine that holds the file only."""

from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from llmworkflow.api.checks.addresses import addresses, is_path
from llmworkflow.api.names import ANNOTATION_FOLDER
from llmworkflow.api.spec.addresses import ENDPOINT_SCHEMES
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.local.edits import annotated


def placed(workflow: LLMWorkflow, folder: Path) -> LLMWorkflow:
    """The workflow of a file in a folder: its relative paths are taken from there, and it remembers the folder."""
    return annotated(with_absolute_paths(workflow, folder), {ANNOTATION_FOLDER: str(folder)})


def with_absolute_paths(workflow: LLMWorkflow, folder: Path) -> LLMWorkflow:
    """The workflow with each relative path of data and models taken from a folder."""
    content: Any = workflow.written()
    for (*parents, field), address, schemes in addresses(workflow):
        if schemes != ENDPOINT_SCHEMES and is_path(address) and not address.startswith("/"):
            reduce(getitem, parents, content)[field] = str((folder / address).resolve())
    return LLMWorkflow.model_validate(content)
