"""How many pods a stage takes."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.render.ray_settings import effective_ray, stage_named
from llmworkflow.render.settings import Settings
from llmworkflow.render.sizing import PodRange, worker_pods

from .builders import make_workflow

OWN = [{"name": name, "importPath": f"{name}:app", "routePrefix": f"/{name}"} for name in ("a", "b")]
TENSOR_2 = {"parallelism": {"tensor": 2}}


def pods(stage: str, accelerator: dict[str, Any] | None, section: dict[str, Any]) -> PodRange:
    kind = {"tune": "fineTune", "score": "batch", "chat": "serve"}[stage]
    workflow = make_workflow(ray={"accelerator": accelerator}, stages={stage: {kind: section}})
    found = stage_named(workflow, stage)
    return worker_pods(found, effective_ray(workflow, found, Settings()).accelerator)


@pytest.mark.capability("workers")
@pytest.mark.parametrize(
    ("workers", "count", "expected"),
    [
        ({"count": 4}, None, (4, 4)),  # on CPUs: a process a pod
        ({"count": 4}, 1, (4, 4)),
        ({"count": 4}, 4, (1, 1)),  # one process for each accelerator of a pod
        ({"count": 5}, 4, (2, 2)),
        ({"count": 4}, 0.5, (2, 2)),  # two processes share one
        ({"count": 4}, 0.3, (2, 2)),  # three do
        ({"min": 2, "max": 8}, 1, (2, 8)),
        ({"min": 2, "max": 8}, 4, (1, 2)),
    ],
)
def test_training(workers: dict[str, Any], count: float | None, expected: tuple[int, int]) -> None:
    accelerator = None if count is None else {"name": "l4", "count": count}
    assert pods("tune", accelerator, {"workers": workers}) == PodRange(*expected)


@pytest.mark.capability("engine-load")
@pytest.mark.parametrize(
    ("batch", "count", "expected"),
    [
        ({}, None, 1),
        ({"concurrency": 3}, None, 3),
        ({"concurrency": 3}, 1, 3),
        ({"concurrency": 3}, 4, 3),  # an engine takes all accelerators of its pod
        ({"concurrency": 3, **TENSOR_2}, 4, 2),  # unless it is told to take two of the four
        ({"concurrency": 3, **TENSOR_2}, 1, 6),  # or to reach over two pods
        ({"concurrency": 4}, 0.5, 2),
        ({"task": "http", "http": {"url": "https://x"}, "model": None, "concurrency": 8}, 1, 1),
    ],
)
def test_batch(batch: dict[str, Any], count: float | None, expected: int) -> None:
    accelerator = None if count is None else {"name": "l4", "count": count}
    assert pods("score", accelerator, batch) == PodRange(expected, expected)


@pytest.mark.capability("autoscaling")
@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([{"modelId": "a"}], (1, 1)),
        ([{"modelId": "a", "replicas": {"min": 1, "max": 3}}], (1, 3)),
        ([{"modelId": "a", "replicas": {"min": 0, "max": 3}}], (0, 3)),
        ([{"modelId": "a", "replicas": {"max": 2}, **TENSOR_2}, {"modelId": "b"}], (3, 5)),
    ],
)
def test_serving(models: list[dict[str, Any]], expected: tuple[int, int]) -> None:
    assert pods("chat", {"name": "l4"}, {"models": models}) == PodRange(*expected)


@pytest.mark.parametrize(
    ("stage", "section", "count", "ray", "cpu"),
    [
        ("tune", {"workers": {"count": 8}}, 8, {}, 8),
        ("tune", {"workers": {"count": 8, "cpu": 2}}, 8, {}, 16),
        ("tune", {"workers": {"count": 2}}, 8, {}, 4),  # the installation's
        ("tune", {"workers": {"count": 1, "cpu": 6}}, 1, {}, 6),
        ("tune", {"workers": {"count": 8}}, 8, {"worker": {"cpu": 6}}, 6),  # as it was told
        ("tune", {"workers": {"count": 8}}, 8, {"worker": {"rayStartParams": {"num-cpus": "9"}}}, 4),
        ("chat", {"models": [{"modelId": "a", "replicas": {"min": 4, "max": 4}}]}, 0.25, {}, 5),
        ("chat", {"models": [{"modelId": "a", "parallelism": {"tensor": 8}}]}, 8, {}, 9),
        (
            "chat",
            {"models": [{"modelId": "a", "parallelism": {"tensor": 8}}], "applications": OWN},
            8,
            {},
            11,
        ),
        ("chat", {"models": [{"modelId": "a"}]}, 8, {}, 4),
        ("score", {"pipeline": {"preprocess": {"cpu": 8}}}, 1, {}, 9),
        ("score", {"task": "http", "http": {"url": "http://x/v1"}, "model": None}, 8, {}, 4),
    ],
)
def test_a_pod_has_the_cpus_that_its_processes_take(
    stage: str, section: dict[str, Any], count: float, ray: dict[str, Any], cpu: int
) -> None:
    kind = {"tune": "fineTune", "score": "batch", "chat": "serve"}[stage]
    accelerator = {"accelerator": {"name": "l4", "count": count}}
    workflow = make_workflow(ray=accelerator | ray, stages={stage: {kind: section}})
    worker = effective_ray(workflow, stage_named(workflow, stage), Settings()).worker
    assert worker is not None
    assert worker.cpu == cpu


def test_what_an_installation_leaves_out_of_its_workers_is_as_it_was() -> None:
    settings = Settings.model_validate({"worker": {"cpu": 16}, "head": {"memory": "16Gi"}})
    assert (settings.worker.cpu, settings.worker.memory) == (16, "32Gi")
    assert (settings.head.cpu, settings.head.memory) == (2, "16Gi")
