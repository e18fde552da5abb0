"""A name that Kubernetes takes, and that labels can carry."""

import re
from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.workflow import MAX_NAME, LLMWorkflow

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_MAX_NAMESPACE = 63
SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of the workflow's name and of its namespace."""
    path: Path = ("metadata", "name")
    name = workflow.metadata.name
    if not SUBDOMAIN.fullmatch(name):
        remedy = "use lower-case letters, digits, - and ., beginning and ending with a letter or digit"
        yield Problem(path, "is no name of a Kubernetes resource", remedy, value=name)
    namespace = workflow.metadata.namespace
    if not re.fullmatch(_LABEL, namespace) or len(namespace) > _MAX_NAMESPACE:
        remedy = (
            f"use up to {_MAX_NAMESPACE} lower-case letters, digits and -, a letter or digit first and last"
        )
        yield Problem(("metadata", "namespace"), "is no name of a namespace", remedy, value=namespace)
    if len(name) > MAX_NAME:
        yield Problem(path, f"has {len(name)} characters", f"use at most {MAX_NAME}", value=name)
