"""The demo's workflow on a cluster: its data on a volume, its model tiny."""

from __future__ import annotations

import copy
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from tests.cluster.api import condition, eventually

from llmworkflow.cli.demo import fill

from .cluster import Pods

NAME = CLAIM = "demo"
SECONDS = 900
Workflow = dict[str, Any]


def demo_workflow(namespace: str) -> Workflow:
    """The file that `llmworkflow demo` runs, word for word, in a namespace."""
    text = resources.files("llmworkflow.demo").joinpath("workflow.yaml").read_text()
    found: Workflow = yaml.safe_load(text)
    found["metadata"]["namespace"] = namespace
    return found


def stages(workflow: Workflow, *names: str, **spec: Any) -> Workflow:
    """The workflow with some of its stages alone, and changes of its spec."""
    changed = copy.deepcopy(workflow)
    changed["spec"]["stages"] = [stage for stage in changed["spec"]["stages"] if stage["name"] in names]
    changed["spec"] |= spec
    return changed


def demo_files(folder: Path) -> Path:
    """The volume's content."""
    fill(folder, data=None, model=None, console=Console())
    return folder


def wait_for(
    pods: Pods, namespace: str, kind: str = "Ready", name: str = NAME, seconds: float = SECONDS
) -> Workflow:
    """The workflow, once a condition holds; where it does not come, what the cluster looks like."""

    def look() -> Workflow | None:
        found = pods.api.get("LLMWorkflow", name, namespace)
        if not found or found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
            return None
        ended = {end for end in ("Failed", "Stalled") if condition(found, end).get("status") == "True"}
        assert not ended or kind in ended, f"it is {ended}"
        return found if condition(found, kind).get("status") == "True" else None

    try:
        return eventually(look, seconds, f"{namespace}/{name} is {kind}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{pods.diagnosis(namespace, name)}") from None


def stage_of(workflow: Workflow, name: str) -> dict[str, Any]:
    """A stage of a spec."""
    found: dict[str, Any] = next(item for item in workflow["spec"]["stages"] if item["name"] == name)
    return found


def stage(workflow: Workflow, name: str) -> dict[str, Any]:
    """What the status says of a stage."""
    return next(found for found in workflow["status"]["stages"] if found["name"] == name)
