"""What a RayJob does, by every row of KubeRay's states that was seen."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.names import Reason
from llmworkflow.core.observation import ChildPhase as P
from llmworkflow.kube.rayjob import look_at

from .builders import rayjob


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        (None, P.PENDING),
        ({}, P.PENDING),
        ({"jobDeploymentStatus": "Initializing"}, P.PENDING),
        ({"jobDeploymentStatus": "Waiting"}, P.PENDING),
        ({"jobDeploymentStatus": "Retrying"}, P.PENDING),
        ({"jobDeploymentStatus": "Running"}, P.RUNNING),
        ({"jobDeploymentStatus": "Running", "jobStatus": "PENDING"}, P.RUNNING),
        # Ray is done, KubeRay is not: its word comes later
        ({"jobDeploymentStatus": "Running", "jobStatus": "SUCCEEDED"}, P.RUNNING),
        # the dashboard's proxy answered for Ray
        ({"jobDeploymentStatus": "Running", "jobStatus": "Failure"}, P.RUNNING),
        ({"jobDeploymentStatus": "Suspending"}, P.QUEUED),
        ({"jobDeploymentStatus": "Suspended"}, P.QUEUED),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, P.SUCCEEDED),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, P.FAILED),
        ({"jobDeploymentStatus": "Complete"}, P.FAILED),
        ({"jobDeploymentStatus": "Failed", "jobStatus": "RUNNING"}, P.FAILED),
        ({"jobDeploymentStatus": "ValidationFailed"}, P.FAILED),
        ({"jobDeploymentStatus": "SomethingNew"}, P.PENDING),
    ],
)
def test_phase(status: dict[str, Any] | None, phase: P) -> None:
    assert look_at(rayjob(status)).phase is phase


def test_one_that_was_created_suspended_is_queued_before_kuberay_looks() -> None:
    assert look_at(rayjob(spec={"suspend": True})).phase is P.QUEUED
    initializes = rayjob(spec={"suspend": True}, status={"jobDeploymentStatus": "Initializing"})
    assert look_at(initializes).phase is P.QUEUED


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("AppFailed", Reason.JOB_FAILED),
        ("DeadlineExceeded", Reason.TIMEOUT),
        ("PreRunningDeadlineExceeded", Reason.PENDING_TIMEOUT),
        ("SubmissionFailed", Reason.JOB_FAILED),
        ("JobDeploymentStatusTransitionGracePeriodExceeded", Reason.JOB_FAILED),
    ],
)
def test_failure_says_what_kuberay_says_and_may_be_tried_again(told: str, reason: Reason) -> None:
    found = look_at(rayjob({"jobDeploymentStatus": "Failed", "reason": told, "message": "the head died"}))
    assert (found.reason, found.permanent) == (reason, False)
    assert found.message == f"KubeRay says {told}: the head died"


def test_refused_spec_is_never_tried_again() -> None:
    found = look_at(rayjob({"jobDeploymentStatus": "ValidationFailed", "message": "bad name"}))
    assert (found.reason, found.permanent) == (Reason.INVALID_SPEC, True)
    assert "bad name" in found.message


def test_stopped_job_says_so() -> None:
    found = look_at(rayjob({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}))
    assert found.message == "the Ray job ended with STOPPED"
