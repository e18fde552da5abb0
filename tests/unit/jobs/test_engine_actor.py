"""Which batches our own engine's actor answers, and how many at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs import engine, engine_actor
from llmworkflow_jobs.config import parse
from llmworkflow_jobs.inference_model import InferenceModel

L4 = {"type": "L4", "count": 1}


@pytest.mark.capability("engine-load")
@pytest.mark.parametrize(
    ("accelerator", "fields", "suits"),
    [
        (L4, {}, True),
        (L4, {"engineKwargs": {"max_model_len": 64, "tensor_parallel_size": 1}}, True),
        (L4, {"parallelism": {"tensor": 2}}, False),
        (L4, {"parallelism": {"pipeline": 2}}, False),
        (L4, {"engineKwargs": {"data_parallel_size": 2}}, False),
        (L4, {"engineKwargs": {"distributed_executor_backend": "ray"}}, False),
        (L4, {"task": "embed"}, False),
        (L4, {"pipeline": {"maxPendingRequests": 64}}, False),
        (L4, {"pipeline": {"maxConcurrentBatches": 4}}, False),
        (None, {}, False),
    ],
)
def test_texts_from_one_gpu_are_our_own(
    stage_config: Callable[..., Any], accelerator: Any, fields: dict[str, Any], suits: bool
) -> None:
    config = parse(stage_config("batch", accelerator=accelerator, **fields))
    arguments = engine.arguments(config, InferenceModel("/model", "/model"), config.section)
    assert engine_actor.suits(config, arguments) is suits


@pytest.mark.capability("engine-load")
@pytest.mark.parametrize(("batch_size", "batches"), [(1, 4096), (256, 16), (3000, 2), (10_000, 2)])
def test_an_engine_has_enough_in_hand_to_stay_busy(batch_size: int, batches: int) -> None:
    assert engine_actor.batches_in_hand(batch_size) == batches
