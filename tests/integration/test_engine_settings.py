"""What Ray and vLLM make of how a batch's engine is placed and loads its weights. Nothing is started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs import engine, placement
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.inference_model import InferenceModel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

L4 = {"type": "L4", "count": 1}
HALF = {"type": "L4", "count": 0.5}
SPREAD = {"strategy": "STRICT_SPREAD", "bundle": {"CPU": 3, "rack": 1}}


def processor(job: JobConfig) -> Any:
    """Ray's description of the engine, as the batch makes it."""
    from ray.data.llm import vLLMEngineProcessorConfig

    arguments = engine.arguments(job, InferenceModel("/model", "/model"), job.section)
    return vLLMEngineProcessorConfig(
        model_source="/model", engine_kwargs=arguments, **placement.group(job, job.section, cpus=1)
    )


@pytest.mark.capability("placement", "parallelism")
@pytest.mark.parametrize(
    ("accelerator", "fields", "bundle", "strategy"),
    [
        (L4, {"placement": SPREAD}, {"CPU": 3, "GPU": 1, "rack": 1}, "STRICT_SPREAD"),
        (HALF, {}, {"CPU": 1, "GPU": 0.5}, "PACK"),
    ],
)
def test_ray_takes_the_placement(
    stage_config: Callable[..., Any], accelerator: Any, fields: Any, bundle: Any, strategy: str
) -> None:
    parallelism = {"tensor": 4, "pipeline": 2, "data": 1}
    document = stage_config("batch", accelerator=accelerator, parallelism=parallelism, **fields)
    told = processor(parse(document))
    assert told.placement_group_config["bundle_per_worker"] == bundle
    assert told.placement_group_config["strategy"] == strategy
    assert told.engine_kwargs["tensor_parallel_size"] == 4
    assert told.engine_kwargs["pipeline_parallel_size"] == 2


@pytest.mark.capability("fast-loading")
@pytest.mark.parametrize("name", ["runai_streamer", "runai_streamer_sharded", "tensorizer", "safetensors"])
def test_vllm_knows_how_to_load(tiny_model: Any, stage_config: Callable[..., Any], name: str) -> None:
    from vllm import EngineArgs
    from vllm.model_executor.model_loader import _LOAD_FORMAT_TO_MODEL_LOADER

    job = parse(stage_config("batch", accelerator=L4, model={"loadFormat": name}))
    arguments = engine.arguments(job, InferenceModel(str(tiny_model), str(tiny_model)), job.section)
    assert EngineArgs(model=str(tiny_model), **arguments).create_load_config().load_format == name
    assert name in _LOAD_FORMAT_TO_MODEL_LOADER
