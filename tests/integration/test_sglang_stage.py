"""What Ray's stage for SGLang is told of each row, and what becomes of rows that fail, on an engine that is a fake."""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration import fake_sglang
from tests.integration.sglang_packages import environment

from llmworkflow_jobs import config, sglang_engine
from llmworkflow_jobs.inference_model import Adapter, InferenceModel

pytestmark = pytest.mark.integration


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, stage_config: Callable[..., Any]) -> Any:
    """The stage of a batch with two adapters on GPUs."""
    from llmworkflow_jobs.sglang_stage import Engine

    monkeypatch.setitem(sys.modules, "sglang", fake_sglang)
    adapters = {name: Adapter(f"/{name}", 8, f"volume:{name}") for name in ("a", "b")}
    job = config.parse(
        stage_config(
            "batch",
            engine="sglang",
            accelerator={"type": "L4", "count": 0.5},
            engineKwargs={"context_length": 64},
        )
    )
    arguments = sglang_engine.arguments(job, InferenceModel("/model", "/model", adapters=adapters))
    return Engine("data", ["prompt"], "/model", arguments)


@pytest.mark.capability("sglang")
def test_the_engine_is_told_of_adapters_and_its_share(stage: Any) -> None:
    assert stage.llm.engine.kwargs == {
        "model_path": "/model",
        "trust_remote_code": False,
        "skip_tokenizer_init": False,
        "tp_size": 1,
        "mem_fraction_static": 0.4,
        "enable_lora": True,
        "lora_paths": {"/a": "/a", "/b": "/b"},
        "context_length": 64,
    }


@pytest.mark.capability("sglang")
def test_rows_name_their_adapter_and_fail_alone(stage: Any) -> None:
    asked: list[tuple[list[int], str]] = [([1], "/model"), ([1, 2], "/a"), ([], "/b"), ([1] * 4, "/b")]
    rows = [
        {
            "prompt": "",
            "tokenized_prompt": np.array(ids, np.int64),
            "model": model,
            "sampling_params": {"max_tokens": 4, "top_k": 0, "seed": None, "stop": np.array(["."], object)},
        }
        for ids, model in asked
    ]

    async def outputs() -> list[dict[str, Any]]:
        return [row async for table in stage({"data": rows}) for row in table["data"]]

    found = asyncio.run(outputs())
    told = "{'max_new_tokens': 4, 'top_k': -1, 'stop': ['.']}"
    assert [row["generated_text"] for row in found[:2]] == [f"None {told}", f"/a {told}"]
    assert [row["generated_tokens"] for row in found[:2]] == [[1], [1, 2]]
    assert [row["__inference_error__"] for row in found] == [
        "",
        "",
        "ValueError: there is no prompt",
        "the engine gave it up: shed",
    ]


def test_the_fake_is_called_as_the_real_engine_is() -> None:
    source = Path(environment()["PYTHONPATH"]) / "sglang" / "srt" / "entrypoints" / "engine.py"
    functions = [
        node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.AsyncFunctionDef)
    ]
    (real,) = [node for node in functions if node.name == "async_generate"]
    assert {argument.arg for argument in real.args.args} >= {
        *inspect.signature(fake_sglang.Engine.async_generate).parameters
    }
