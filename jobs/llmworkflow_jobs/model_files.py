"""The files of a model on each machine that runs it: a copy from a bucket has the same path on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.inference_model import InferenceModel


def bring(addresses: Sequence[str], config: JobConfig, group: PlacementGroup | None) -> None:
    """Copy what is at these addresses to this machine and to those of the engine's group, where it is not there yet."""
    elsewhere = [
        ray.remote(_copy)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote(addresses, config)
        for node in _other_nodes(group)
    ]
    _copy(addresses, config)
    ray.get(elsewhere)


def with_files(engine: type, model: InferenceModel, config: JobConfig) -> type:
    """A class of engines in actors which first bring the model's files: the driver runs on another machine."""
    addresses = model.addresses

    class EngineWithFiles(engine):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            bring(addresses, config, ray.util.get_current_placement_group())
            super().__init__(*args, **kwargs)

    return EngineWithFiles if addresses else engine


def _copy(addresses: Sequence[str], config: JobConfig) -> None:
    for address in addresses:
        storage.local_path(address, config)


def _other_nodes(group: PlacementGroup | None) -> set[str]:
    if group is None:
        return set()
    nodes = ray.util.placement_group_table(group)["bundles_to_node_id"].values()
    return {*nodes} - {ray.get_runtime_context().get_node_id()}
