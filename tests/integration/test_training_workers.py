"""How Ray Train is asked for workers, and which of their failures are worth another start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError

from llmworkflow_jobs.config import parse
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.training_workers import _backend, _scaling, verdict, worth_restarting

pytestmark = pytest.mark.integration

LOST = WorkerHealthCheckFailedError("the actor is dead", RuntimeError("killed"))
PEER = UserExceptionWithTraceback(RuntimeError("gloo: connection reset by peer"), "Traceback ...")
REFUSED = UserExceptionWithTraceback(JobError("OptionInvalid", "no such field"), "Traceback ...")


@pytest.mark.parametrize(
    ("failures", "got_further", "worth", "reason"),
    [
        ([LOST], False, True, "InternalError"),
        ([PEER, LOST], False, True, "InternalError"),
        ([PEER], True, True, "InternalError"),
        ([PEER], False, False, "InternalError"),
        ([PEER, REFUSED], True, False, "OptionInvalid"),
        ([LOST, REFUSED], True, False, "OptionInvalid"),
    ],
)
def test_lost_workers_are_worth_it_and_refusals_are_not(
    failures: list[Exception], got_further: bool, worth: bool, reason: str
) -> None:
    assert worth_restarting(failures, got_further) == worth
    assert verdict(failures).reason == reason


@pytest.mark.capability("workers", "accelerators")
@pytest.mark.parametrize(
    ("accelerator", "workers", "bundle", "strategy"),
    [
        (None, {"count": 2}, {"CPU": 1}, "PACK"),
        (
            {"type": "L4", "count": 0.5},
            {"count": 4, "cpu": 3, "resources": {"rack": 1}, "placementStrategy": "STRICT_SPREAD"},
            {"CPU": 3, "GPU": 0.5, "rack": 1, "accelerator_type:L4": 0.001},
            "STRICT_SPREAD",
        ),
    ],
)
def test_workers_lie_and_have_what_was_asked_for(
    stage_config: Callable[..., Any], accelerator: Any, workers: Any, bundle: Any, strategy: str
) -> None:
    asked = _scaling(parse(stage_config("fineTune", accelerator=accelerator, workers=workers)))
    assert asked.num_workers == workers["count"]
    assert asked._resources_per_worker_not_none == bundle
    assert asked.placement_strategy == strategy


@pytest.mark.parametrize(
    ("accelerator", "distributed", "backend"),
    [
        (None, {"fsdp": {}, "deepspeed": None}, "gloo"),
        ({"type": "L4", "count": 1}, None, "nccl"),
        ({"type": "L4", "count": 1}, {"fsdp": {}, "deepspeed": None}, "cpu:gloo,cuda:nccl"),
        ({"type": "L4", "count": 1}, {"fsdp": None, "deepspeed": {}}, "nccl"),
    ],
)
def test_workers_speak_to_each_other(
    stage_config: Callable[..., Any], accelerator: Any, distributed: Any, backend: str
) -> None:
    training = {"distributed": distributed}
    assert _backend(parse(stage_config("fineTune", accelerator=accelerator, training=training))) == backend
