"""What people do to a workflow on a cluster: they edit it, and decide by annotations."""

from __future__ import annotations

import re
import secrets
from typing import Any

from .cluster import Pods
from .demo import NAME, Workflow, stage


def look(pods: Pods, namespace: str, name: str = NAME) -> Workflow:
    """The workflow as it is now."""
    found = pods.api.get("LLMWorkflow", name, namespace)
    assert found, f"there is no workflow {namespace}/{name}"
    return found


def edit(pods: Pods, namespace: str, workflow: Workflow, **spec: Any) -> None:
    """Apply the spec of a workflow, with changes, as an editor would."""
    change = {"spec": {**workflow["spec"], **spec}}
    pods.api.patch("LLMWorkflow", workflow["metadata"]["name"], namespace, change)


def decide(pods: Pods, namespace: str, verb: str, stage_name: str, revision: str) -> None:
    """Ask for something in one's own name; the API server vouches for that."""
    value = f"{stage_name}@{revision}#{secrets.token_hex(4)}"
    notes = {f"llmworkflow.io/{verb}": value, "llmworkflow.io/requested-by": pods.user}
    pods.api.patch("LLMWorkflow", NAME, namespace, {"metadata": {"annotations": notes}})


def awaited(pods: Pods, namespace: str, stage_name: str) -> str:
    """What a stage asks people to approve, by its revision or digest."""
    message = stage(look(pods, namespace), stage_name)["message"]
    found = re.search(rf"approve {stage_name}@(\w+)", message)
    assert found, message
    return found[1]


def state(pods: Pods, namespace: str, stage_name: str, name: str = NAME) -> str:
    """The state of a stage; none where it has not been looked at."""
    found = look(pods, namespace, name)
    return str(stage(found, stage_name)["state"]) if found.get("status", {}).get("stages") else ""
