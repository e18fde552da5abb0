"""The Ray resources of an engine's processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs import placement
from llmworkflow_jobs.config import parse

L4 = {"type": "L4", "count": 1}


@pytest.mark.capability("placement")
@pytest.mark.parametrize(
    ("accelerator", "fields", "group"),
    [
        (L4, {}, None),
        ({"type": "L4", "count": 4}, {}, None),
        (L4, {"strategy": "SPREAD"}, {"bundle_per_worker": {"GPU": 1}, "strategy": "SPREAD"}),
        (L4, {"bundle": {"CPU": 4}}, {"bundle_per_worker": {"CPU": 4, "GPU": 1}, "strategy": "PACK"}),
        ({"type": None, "count": 0.5}, {}, {"bundle_per_worker": {"GPU": 0.5}, "strategy": "PACK"}),
        (None, {}, {"bundle_per_worker": {"CPU": 1}, "strategy": "PACK"}),
        (
            None,
            {"bundle": {"rack": 1}, "strategy": "STRICT_SPREAD"},
            {"bundle_per_worker": {"CPU": 1, "rack": 1}, "strategy": "STRICT_SPREAD"},
        ),
    ],
)
def test_ray_is_told_what_it_would_do_otherwise(
    stage_config: Callable[..., Any], accelerator: Any, fields: dict[str, Any], group: Any
) -> None:
    config = parse(stage_config("batch", accelerator=accelerator, placement=fields))
    assert placement.group(config, config.section) == ({"placement_group_config": group} if group else {})


@pytest.mark.capability("placement")
@pytest.mark.parametrize(
    ("accelerator", "bundle", "asked"),
    [
        (L4, {}, {"num_cpus": 1, "num_gpus": 1, "resources": {}, "accelerator_type": "L4"}),
        (
            {"type": None, "count": 0.25},
            {"CPU": 2, "rack": 1},
            {"num_cpus": 2, "num_gpus": 0.25, "resources": {"rack": 1}, "accelerator_type": None},
        ),
    ],
)
def test_an_actor_asks_for_the_same(
    stage_config: Callable[..., Any], accelerator: Any, bundle: dict[str, float], asked: dict[str, Any]
) -> None:
    config = parse(stage_config("batch", accelerator=accelerator, placement={"bundle": bundle}))
    assert placement.of_actor(config, config.section) == asked
