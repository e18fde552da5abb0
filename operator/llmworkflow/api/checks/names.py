"""A name that Kubernetes takes, and that labels can carry."""

import re
from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.workflow import MAX_NAME, LLMWorkflow

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of the workflow's name."""
    path: Path = ("metadata", "name")
    name = workflow.metadata.name
    if not _SUBDOMAIN.fullmatch(name):
        remedy = "use lower-case letters, digits, - and ., beginning and ending with a letter or digit"
        yield Problem(path, "is no name of a Kubernetes resource", remedy, value=name)
    if len(name) > MAX_NAME:
        yield Problem(path, f"has {len(name)} characters", f"use at most {MAX_NAME}", value=name)
