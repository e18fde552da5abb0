"""Which failures of Ray Train's workers are worth another start."""

from __future__ import annotations

import pytest
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback, WorkerHealthCheckFailedError

from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.training_workers import verdict, worth_restarting

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
