"""Pods that are deleted in the middle of the work, on a cluster where nothing only pretends."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from tests.chart.helm import NAMESPACE as OPERATOR
from tests.cluster.api import eventually

from .cluster import VOLUME, Pods
from .demo import CLAIM, Workflow, demo_files, demo_workflow, stage, stages, wait_for

SAVE_STEPS = 10
SECONDS = 300
HEAD, WORKER = {"ray.io/node-type": "head"}, {"ray.io/node-type": "worker"}


@pytest.fixture(scope="module")
def namespace(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace with the demo's data."""
    name = pods.make_namespace()
    pods.make_volume(name, CLAIM, demo_files(tmp_path_factory.mktemp("demo")))
    return name


def begin(pods: Pods, namespace: str, name: str, kept: str, **changes: Any) -> None:
    """Apply one stage of the demo as a workflow of its own."""
    workflow = stages(demo_workflow(namespace), kept)
    workflow["metadata"]["name"] = name
    (only,) = workflow["spec"]["stages"]
    kind = "fineTune" if "fineTune" in only else "batch"
    only[kind] = deepcopy(only[kind]) | changes
    pods.api.create(workflow)


def files(pods: Pods, namespace: str, pattern: str) -> list[str]:
    """Files of the volume."""
    found = pods.run_in(
        namespace, f"keeper-{CLAIM}", "sh", "-c", f"ls -d {VOLUME}/{pattern} 2>/dev/null || true"
    )
    return found.split()


def test_a_head_deleted_in_training_resumes_from_its_checkpoint(pods: Pods, namespace: str) -> None:
    training = stage_named(demo_workflow(namespace), "tune")["fineTune"]["training"]
    longer = training | {"numTrainEpochs": 8, "saveSteps": SAVE_STEPS, "loggingSteps": 2}
    begin(pods, namespace, "head", "tune", training=longer)
    eventually(lambda: steps(pods, namespace, "head") > 2 * SAVE_STEPS, SECONDS, "the second checkpoint")
    operators = pods.api.list("Pod", OPERATOR)
    for pod in [*labelled(pods, namespace, HEAD, "head"), *operators]:
        pods.api.delete("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"], gracePeriodSeconds=0)

    tuned = stage(wait_for(pods, namespace, "Succeeded", "head"), "tune")

    assert tuned["metrics"]["resumedFromStep"]["value"] >= SAVE_STEPS
    assert tuned["metrics"]["steps"]["value"] == 8 * 32


def test_a_worker_deleted_in_a_batch_loses_and_doubles_no_row(pods: Pods, namespace: str) -> None:
    begin(pods, namespace, "worker", "base", output={"format": "jsonl"}, batchSize=8)
    eventually(
        lambda: files(pods, namespace, f"{namespace}/worker/base/*/*/*"), SECONDS, "the batch has begun"
    )
    (worker,) = labelled(pods, namespace, WORKER, "worker")
    pods.api.delete("Pod", worker["metadata"]["name"], namespace, gracePeriodSeconds=0)

    scored = stage(wait_for(pods, namespace, "Succeeded", "worker"), "base")

    folder = scored["artifact"]["uri"].partition("storage/")[2]
    rows = pods.run_in(namespace, f"keeper-{CLAIM}", "sh", "-c", f"cat {VOLUME}/{folder}/rows/*")
    asked = pods.run_in(namespace, f"keeper-{CLAIM}", "cat", f"{VOLUME}/data/test.jsonl")
    assert inputs(rows) == inputs(asked)


def inputs(lines: str) -> list[str]:
    """The inputs of rows, in order."""
    return sorted(json.loads(line)["input"] for line in lines.splitlines())


def labelled(pods: Pods, namespace: str, labels: dict[str, str], workflow: str) -> list[dict[str, Any]]:
    """Ray pods of a workflow."""
    return pods.api.list("Pod", namespace, {**labels, "llmworkflow.io/workflow": workflow})


def stage_named(workflow: Workflow, name: str) -> dict[str, Any]:
    """A stage of a spec."""
    found: dict[str, Any] = next(item for item in workflow["spec"]["stages"] if item["name"] == name)
    return found


def steps(pods: Pods, namespace: str, name: str) -> int:
    """Steps that the running attempt has reported."""
    found = pods.api.get("LLMWorkflow", name, namespace) or {}
    told = [item.get("progress") or {} for item in found.get("status", {}).get("stages", [])]
    words = [(progress.get("message") or "").removeprefix("step ").split("/")[0] for progress in told]
    return max((int(word) for word in words if word.isdigit()), default=0)
