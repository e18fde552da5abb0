"""The files of a model on each machine that runs it: a copy from a bucket has the same path on all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.inference_model import InferenceModel


def bring(addresses: Iterable[str], config: JobConfig) -> None:
    """Copy what is at these addresses to this machine, where it is not there yet."""
    for address in addresses:
        storage.local_path(address, config)


def with_files(engine: type, model: InferenceModel, config: JobConfig) -> type:
    """A class of engines in actors which first bring the model's files: the driver runs on another machine."""
    addresses = model.addresses

    class EngineWithFiles(engine):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            bring(addresses, config)
            super().__init__(*args, **kwargs)

    return EngineWithFiles if addresses else engine
