"""Engines have the model's files also where the driver, which found them first, runs on another machine."""

from __future__ import annotations

from collections.abc import Callable

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.inference_model import Adapter, InferenceModel
from llmworkflow_jobs.model_files import with_files

Config = Callable[..., JobConfig]


class Engine:
    def __init__(self, events: list[str], name: str) -> None:
        events.append(f"{name} starts")


def test_an_engine_with_files_on_a_volume_or_of_the_hub_is_left_alone(fine_tune: Config) -> None:
    adapter = Adapter("/storage/adapter", 8, "file:///storage/adapter")
    for address in (None, "volume:base", "/storage/base"):
        model = InferenceModel("/storage/base", "/storage/base", adapter=adapter, address=address)
        assert with_files(Engine, model, fine_tune()) is Engine
