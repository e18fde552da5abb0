"""Where the processes of an engine run: the Ray resources of each, and how they lie to each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmworkflow_jobs.config import JobConfig


def group(config: JobConfig, options: Mapping[str, Any], cpus: float = 0) -> dict[str, Any]:
    """`placement_group_config` of ray.data.llm and ray.serve.llm, where Ray would do otherwise by itself.

    By itself it takes a whole GPU for each process, close to each other. `options` are the fields of the batch or of
    the served model; `cpus` go with each GPU.
    """
    accelerator, placement = config.accelerator, options["placement"]
    whole = accelerator is not None and accelerator["count"] >= 1
    if whole and placement["strategy"] == "PACK" and not placement["bundle"]:
        return {}
    wanted = {"bundle_per_worker": _bundle(config, options, cpus), "strategy": placement["strategy"]}
    return {"placement_group_config": wanted}


def of_actor(config: JobConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    """What an actor asks Ray for that is an engine of one process itself."""
    resources = _bundle(config, options, cpus=1)
    return {
        "num_cpus": resources.pop("CPU"),
        "num_gpus": resources.pop("GPU", 0),
        "resources": resources,
        "accelerator_type": config.accelerator["type"] if config.accelerator else None,
    }


def _bundle(config: JobConfig, options: Mapping[str, Any], cpus: float) -> dict[str, float]:
    """Ray resources of one process: an accelerator or its share of one, else a CPU; `placement.bundle` over them."""
    if config.accelerator is None:
        return {"CPU": 1, **options["placement"]["bundle"]}
    own = {"GPU": min(config.accelerator["count"], 1), **({"CPU": cpus} if cpus else {})}
    return own | options["placement"]["bundle"]
