"""What is kept of an engine's rows, and told of one that failed; Ray gives the cause as the text of a traceback."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from llmworkflow_jobs.generation import _engine_error, _pooled

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
        (
            STARTED + "ImportError: SGLang is not installed or failed to import.",
            "ImageLacksPackage",
            "add sglang to ray.pip",
        ),
        ("The actor died unexpectedly before finishing this task.", "InternalError", "died 4 times"),
    ],
)
def test_failures_of_engines(text: str, reason: str, message: str) -> None:
    error = _engine_error(RuntimeError(text))
    assert error.reason == reason
    assert message in error.message
    assert error.retryable is (reason == "InternalError")


@pytest.mark.parametrize(
    ("embeddings", "values"), [(np.array([0.5, 0.25], np.float32), [0.5, 0.25]), (None, [])]
)
def test_vectors_are_plain_numbers(embeddings: Any, values: list[float]) -> None:
    row = {
        "request_index": 3,
        "generated_text": "",
        "generated_tokens": [],
        "time_taken_llm": 0.1,
        "__inference_error__": "",
        "embeddings": embeddings,
    }
    assert _pooled(row) == {
        "request_index": 3,
        "text": "",
        "token_ids": [],
        "seconds": 0.1,
        "error": "",
        "values": values,
    }
