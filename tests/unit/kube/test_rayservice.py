"""What a RayService does: its Ready alone is not to be believed."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.names import Reason
from llmworkflow.core.observation import ChildPhase as P
from llmworkflow.kube.rayservice import address, applications, look_at

from .builders import apps, condition, rayservice

READY = condition("Ready", "True", "NonZeroServeEndpoints")
SETTLED = condition("UpgradeInProgress", "False", "NoPendingCluster")
UPGRADES = condition("UpgradeInProgress", "True", "BothActivePendingClustersExist")
STARTS = condition("Ready", "False", "Initializing")


@pytest.mark.parametrize(
    ("service", "phase"),
    [
        (rayservice(), P.PENDING),
        (rayservice(STARTS), P.PENDING),
        (rayservice(STARTS, pendingServiceStatus=apps("DEPLOYING")), P.RUNNING),
        (rayservice(READY, SETTLED, activeServiceStatus=apps("RUNNING")), P.READY),
        # a new serveConfigV2: Ready stays True
        (rayservice(READY, SETTLED, activeServiceStatus=apps("DEPLOYING")), P.RUNNING),
        (rayservice(READY, SETTLED, activeServiceStatus=apps("DEPLOY_FAILED", "boom")), P.UNHEALTHY),
        (rayservice(READY, SETTLED, activeServiceStatus=apps("UNHEALTHY", "boom")), P.UNHEALTHY),
        # a new cluster: what serves is not what is asked for, and the active applications may be empty
        (
            rayservice(READY, UPGRADES, activeServiceStatus={}, pendingServiceStatus=apps("DEPLOYING")),
            P.RUNNING,
        ),
        (rayservice(READY, UPGRADES, activeServiceStatus=apps("RUNNING")), P.RUNNING),
        # KubeRay has not looked at the latest generation yet
        (
            rayservice(
                condition("Ready", "True", generation=1), SETTLED, activeServiceStatus=apps("RUNNING")
            ),
            P.RUNNING,
        ),
        # another application than the one that is asked for
        (rayservice(READY, SETTLED, activeServiceStatus=apps("RUNNING", name="other")), P.RUNNING),
        # no pod is ready though applications run; or there are none, as the pods are gone and start again
        (
            rayservice(
                condition("Ready", "False", "ZeroServeEndpoints"), activeServiceStatus=apps("RUNNING")
            ),
            P.UNHEALTHY,
        ),
        (rayservice(condition("Ready", "False", "ZeroServeEndpoints")), P.PENDING),
        (rayservice(condition("Ready", "False", "InitializingTimeout")), P.FAILED),
        (rayservice(condition("Suspending", "True")), P.QUEUED),
        (rayservice(STARTS, condition("Suspended", "True")), P.QUEUED),
        (rayservice(condition("Ready", "False", "ValidationFailed", message="no name")), P.UNHEALTHY),
    ],
)
def test_phase(service: dict[str, Any], phase: P) -> None:
    assert look_at(service).phase is phase


def test_broken_application_is_quoted() -> None:
    found = look_at(rayservice(READY, activeServiceStatus=apps("DEPLOY_FAILED", "no such model")))
    assert found.reason == Reason.UNHEALTHY
    assert found.message == "viggo-chat is DEPLOY_FAILED: no such model"


def test_one_that_is_queued_before_kuberay_looks() -> None:
    service = rayservice(spec={"suspend": True})
    del service["status"]
    assert look_at(service).phase is P.QUEUED


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"applications": [{"name": "a"}, {"name": "b"}]}', ["a", "b"]),
        ("applications:\n- name: a\n", ["a"]),
        ("applications: [", []),
        ("", []),
        ("[]", []),
        ("applications: [{name: [a]}, {name: b}]", ["b"]),
        ("[" * 100_000, []),
    ],
)
def test_names_of_applications_as_this_operator_or_a_person_writes_them(text: str, names: list[str]) -> None:
    assert applications(rayservice(spec={"serveConfigV2": text})) == names


def test_configuration_that_cannot_be_read_is_never_ready() -> None:
    service = rayservice(READY, SETTLED, spec={"serveConfigV2": ": ["}, activeServiceStatus=apps("RUNNING"))
    assert look_at(service).phase is P.RUNNING


def test_address_outlives_clusters() -> None:
    assert address(rayservice()) == "http://viggo-chat-serve-svc.team.svc:8000"
