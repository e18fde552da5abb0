"""What is told of an engine that failed; Ray gives the cause as the text of a traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs.config import parse
from llmworkflow_jobs.engine_actor import batches_in_hand
from llmworkflow_jobs.generation import _engine_error, _on_one_gpu

STARTED = """The actor died because of an error raised in its creation task, ray::MapWorker(...).__init__() (pid=5566)
  File "vllm/engine/arg_utils.py", line 2053, in create_engine_config
    model_config = self.create_model_config()
"""


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        (
            STARTED
            + "pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, too long\n",
            "OptionInvalid",
            "ValidationError: 1 validation error for ModelConfig Value error, too long",
        ),
        (STARTED + "ValueError: no such dtype", "OptionInvalid", "did not start: ValueError: no such dtype"),
        (STARTED + "OSError: [Errno 5] Input/output error", "InternalError", "OSError"),
        (STARTED + "torch.OutOfMemoryError: CUDA out of memory.", "OutOfMemory", "gpu_memory_utilization"),
        ("The actor died unexpectedly before finishing this task.", "InternalError", "died 4 times"),
    ],
)
def test_failures_of_engines(text: str, reason: str, message: str) -> None:
    error = _engine_error(RuntimeError(text))
    assert error.reason == reason
    assert message in error.message
    assert error.retryable is (reason == "InternalError")


@pytest.mark.parametrize(
    ("accelerator", "parallelism", "own"),
    [
        ({"type": "L4", "count": 1}, {}, True),
        ({"type": "L4", "count": 2}, {"tensor": 2}, False),
        ({"type": "L4", "count": 2}, {"pipeline": 2}, False),
        (None, {}, False),
    ],
)
def test_engines_on_one_gpu_are_our_own(
    stage_config: Callable[..., Any], accelerator: Any, parallelism: dict[str, int], own: bool
) -> None:
    config = parse(stage_config("batch", accelerator=accelerator, parallelism=parallelism))
    assert _on_one_gpu(config) is own


@pytest.mark.parametrize(("batch_size", "batches"), [(1, 4096), (256, 16), (3000, 2), (10_000, 2)])
def test_an_engine_has_enough_in_hand_to_stay_busy(batch_size: int, batches: int) -> None:
    assert batches_in_hand(batch_size) == batches
