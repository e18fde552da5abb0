"""The API server alone refuses what is wrong with a workflow, and says what and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmworkflow.api.load import read_workflow_file
from llmworkflow.cli.main import main

from .api import ApiError, eventually
from .conftest import Cluster

SAMPLES = sorted((Path(__file__).parents[2] / "manifests" / "samples").glob("*.yaml"))
VIGGO = next(path for path in SAMPLES if path.stem == "viggo")

Document = dict[str, Any]


def document(path: Path, namespace: str) -> Document:
    """A sample as kubectl would send it."""
    found: Document = read_workflow_file(path).document.value
    return {**found, "metadata": {**found["metadata"], "namespace": namespace}}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_accepted(cluster: Cluster, namespace: str, path: Path) -> None:
    created = cluster.api.create(document(path, namespace))
    again = cluster.api.apply({**document(path, namespace)})
    assert again["metadata"]["generation"] == created["metadata"]["generation"], "defaults are no changes"


# What is wrong, as a change of the ViGGO sample's spec: path and value, where None takes the field away; and what
# the API server says of it.
WRONG: dict[str, tuple[list[str | int], Any, str]] = {
    "misspelt field": (
        ["stages", 0, "fineTune", "training", "learningRat"],
        1e-4,
        'unknown field "spec.stages[0].fineTune.training.learningRat"',
    ),
    "wrong type": (
        ["stages", 0, "fineTune", "lora", "rank"],
        "eight",
        'spec.stages[0].fineTune.lora.rank: Invalid value: "string"',
    ),
    "unknown word": (["stages", 0, "fineTune", "method"], "lara", 'Unsupported value: "lara"'),
    "two kinds": (
        ["stages", 0, "serve"],
        {"models": [{"modelId": "viggo"}]},
        "set exactly one of fineTune, batch, serve, prefetch",
    ),
    "no kind": (["stages", 0, "fineTune"], None, "set exactly one of fineTune, batch, serve, prefetch"),
    "gate without bound": (["stages", 1, "gates", 0, "min"], None, "set exactly one of min, max, betterThan"),
    "gate with two bounds": (
        ["stages", 1, "gates", 0, "max"],
        1.0,
        "set exactly one of min, max, betterThan",
    ),
    "gate without metric": (
        ["stages", 1, "gates", 0, "metric"],
        None,
        "spec.stages[1].gates[0].metric: Required value",
    ),
    "gate of another metric": (
        ["stages", 1, "gates", 0, "metric"],
        "rougeL",
        "a batch's gates have metrics of batch.evaluate.metrics",
    ),
    "unknown stage": (["stages", 1, "dependsOn"], ["tone"], "dependsOn names earlier stages"),
    "later stage": (["stages", 0, "dependsOn"], ["score"], "dependsOn names earlier stages"),
    "unknown model stage": (
        ["stages", 2, "serve", "models", 0, "model", "stage"],
        "score",
        "serve.models[].model.stage names an earlier fineTune stage",
    ),
    "two stages of one name": (
        ["stages", 1, "name"],
        "tune",
        'spec.stages[1]: Duplicate value: {"name":"tune"}',
    ),
    "no data": (
        ["stages", 0, "fineTune", "data"],
        None,
        "data is needed: name the training rows under data.train",
    ),
    "two storages": (["storage", "uri"], "s3://bucket", "set exactly one of volume, uri"),
    "unknown address": (["model", "source"], "ftp://host/qwen", "source begins with one of hf://, s3://"),
    "elastic in a queue": (
        ["stages", 0],
        {
            "name": "tune",
            "ray": {"queue": "team-a"},
            "fineTune": {"data": {"train": [{"uri": "volume:a.jsonl"}]}, "workers": {"min": 2, "max": 8}},
        },
        "a queue admits a fixed number of workers",
    ),
    "empty": (["stages"], [], "spec.stages in body should have at least 1 items"),
    "too many stages": (
        ["stages"],
        [{"name": f"s{n}", "prefetch": {}} for n in range(33)],
        "must have at most 32 items",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(cluster: Cluster, namespace: str, name: str) -> None:
    path, value, message = WRONG[name]
    with pytest.raises(ApiError) as refused:
        cluster.api.create(_changed(document(VIGGO, namespace), path, value))
    assert message in refused.value.message
    assert refused.value.status in (400, 422)


@pytest.mark.parametrize("name", WRONG)
def test_validate_refuses_the_same(tmp_path: Path, name: str) -> None:
    path, value, _ = WRONG[name]
    file = tmp_path / "workflow.yaml"
    file.write_text(json.dumps(_changed(document(VIGGO, "default"), path, value)))
    done = CliRunner().invoke(main, ["validate", str(file)])
    assert done.exit_code == 2
    assert "spec." in done.output


def test_a_name_that_is_too_long_is_refused(cluster: Cluster, namespace: str) -> None:
    workflow = document(VIGGO, namespace)
    workflow["metadata"]["name"] = "v" * 64
    with pytest.raises(ApiError, match=r"metadata\.name has at most 63 characters"):
        cluster.api.create(workflow)


def test_kubectl_shows_what_matters(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(document(VIGGO, namespace))
    shown = eventually(lambda: cluster.kubectl("get", "llmwf", "-n", namespace), 10, "kubectl lists it")
    assert shown.split("\n")[0].split() == ["NAME", "STAGE", "STATUS", "READY", "SCORE", "URL", "AGE"]
    assert cluster.kubectl("get", "ml", "-n", namespace).count("viggo") == 1


def test_the_status_is_a_part_of_its_own(cluster: Cluster, namespace: str) -> None:
    workflow = cluster.api.create(document(VIGGO, namespace) | {"status": {"phase": "Succeeded"}})
    assert "status" not in workflow
    status = {"status": {"phase": "Running", "stage": "tune"}}
    written = cluster.api.patch("LLMWorkflow", "viggo", namespace, status | {"spec": None}, "status")
    assert written["status"]["stage"] == "tune"
    assert written["metadata"]["generation"] == workflow["metadata"]["generation"]


def _changed(workflow: Document, path: list[str | int], value: Any) -> Document:
    target: Any = workflow["spec"]
    for part in path[:-1]:
        target = target[part]
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return workflow
