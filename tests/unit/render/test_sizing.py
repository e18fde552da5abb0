"""How many pods a stage takes."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.render.ray_settings import effective_ray, stage_named
from llmworkflow.render.settings import Settings
from llmworkflow.render.sizing import PodRange, worker_pods

from .builders import make_workflow

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
