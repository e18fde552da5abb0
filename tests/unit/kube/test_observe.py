"""An endpoint that deploys while its workers are pending waits for them, and says why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.observation import ChildPhase, ChildSeen
from llmworkflow.kube import endpoint, evidence, observe
from llmworkflow.kube.cache import HOLD_SECONDS, Cache
from llmworkflow.kube.children import record_of
from llmworkflow.kube.evidence import FIRST_SECONDS
from llmworkflow.kube.observe import SERVING_SECONDS, Observer
from llmworkflow.kube.reports import Reports
from llmworkflow.kube.settings import OperatorSettings

from .builders import apps, condition, rayservice
from .fake_api import FakeApi
from .test_diagnose import FULL, PULL, event, node, pod
from .test_lease import Clock
from .test_sweep import a_workflow

COMES_UP = rayservice(condition("Ready", "False", "Initializing"), pendingServiceStatus=apps("DEPLOYING"))
REPLACED = rayservice(
    condition("Ready", "True", "NonZeroServeEndpoints"), activeServiceStatus=apps("DEPLOYING")
)


def running(name: str = "p") -> dict[str, Any]:
    found = pod()
    found["metadata"]["name"] = name
    return found | {"status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}}


def objects(kind: str, *items: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, **item, "metadata": {"name": f"{kind}-{at}", **item.get("metadata", {})}}
        for at, item in enumerate(items)
    ]


class Scene:
    """One endpoint and what lies around it."""

    def __init__(self, service: dict[str, Any], *around: dict[str, Any]) -> None:
        self.api, cache = FakeApi(*around), Cache()
        self.record = record_of(service)
        cache.put(self.record, 0.0)
        self.observer = Observer(self.api, cache, Reports(self.api), OperatorSettings(), None)  # type: ignore[arg-type]

    async def look(self, state: str) -> tuple[ChildSeen, float]:
        child = {"kind": "RayService", "name": self.record.name, "uid": self.record.uid}
        stage = {"name": "tune", "kind": "serve", "state": state, "child": child}
        sight = await self.observer.observe(
            a_workflow(), LLMWorkflowStatus.model_validate({"stages": [stage]})
        )
        return sight.observed.children[self.record.name], sight.again


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(evidence, "time", clock)
    return clock


@pytest.mark.parametrize("state", ["Starting", "Running"])
@pytest.mark.parametrize("service", [COMES_UP, REPLACED])
async def test_workers_that_no_node_takes_are_awaited(
    clock: Clock, service: dict[str, Any], state: str
) -> None:
    scene = Scene(service, *objects("Pod", running("head"), pod(FULL)), *objects("Node", node(4)))
    seen, again = await scene.look(state)
    assert (seen.phase, again) == (ChildPhase.RUNNING, FIRST_SECONDS)
    clock.now += FIRST_SECONDS
    seen, _ = await scene.look(state)
    assert (seen.phase, seen.reason) == (ChildPhase.PENDING, "AcceleratorsInUse")
    assert "others use them; it starts when some are free" in seen.message


OLD = {"lastTimestamp": "2026-01-01T00:00:00Z"}
CAME = {"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:01:00Z"}}


async def test_an_engine_that_loads_is_not_waited_for(clock: Clock) -> None:
    """What its pods met on their way is past, though its events are still there."""
    mount = event("FailedMount", 'secret "key" not found')
    quota = event("FailedToCreateWorkerPod", "forbidden: exceeded quota: gpus", "viggo-chat-1") | OLD
    scene = Scene(COMES_UP, *objects("Pod", running() | CAME), *objects("Event", mount, quota))
    await scene.look("Running")
    clock.now += FIRST_SECONDS
    seen, again = await scene.look("Running")
    assert seen == scene.record.seen()
    assert again == FIRST_SECONDS


async def test_workers_that_a_quota_keeps_from_being_made_are_awaited(clock: Clock) -> None:
    refused = event("FailedToCreateWorkerPod", "forbidden: exceeded quota: gpus", "viggo-chat-1")
    late = {"lastTimestamp": "2026-01-01T00:02:00Z"}
    scene = Scene(COMES_UP, *objects("Pod", running() | CAME), *objects("Event", refused | late))
    await scene.look("Running")
    clock.now += FIRST_SECONDS
    seen, _ = await scene.look("Running")
    assert (seen.phase, seen.reason) == (ChildPhase.PENDING, "QuotaExceeded")


async def test_what_concerns_a_child_is_found_among_any_number_of_events(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PAGE", 1)
    others = [event("FailedMount", "no such volume", "other") for _ in range(3)]
    mount = event("FailedMount", 'secret "key" not found')
    scene = Scene(rayservice(), *objects("Pod", pod()), *objects("Event", *others, mount))
    await scene.look("Starting")
    clock.now += FIRST_SECONDS
    assert "needs Secret key" in (await scene.look("Starting"))[0].message


async def test_what_was_found_goes_with_the_workflow(clock: Clock) -> None:
    scene = Scene(rayservice(), *objects("Pod", pod(waiting=PULL)))
    await scene.look("Starting")
    clock.now += FIRST_SECONDS
    await scene.look("Starting")
    scene.observer.forget(scene.record.key)
    assert (await scene.look("Starting"))[0].reason == ""


async def test_what_was_found_while_nothing_deployed_is_looked_at_anew(clock: Clock) -> None:
    pulled = Scene(rayservice(), *objects("Pod", pod(waiting=PULL)))
    await pulled.look("Starting")
    clock.now += FIRST_SECONDS
    assert (await pulled.look("Starting"))[0].reason == "ImagePullFailed"
    pulled.observer._cache.put(record_of(COMES_UP), 0.0)
    assert (await pulled.look("Starting"))[0].phase is ChildPhase.RUNNING


async def test_what_a_successor_waits_for_is_told_while_its_predecessor_serves(clock: Clock) -> None:
    scene = Scene(REPLACED, *objects("Pod", running("old"), pod(FULL)), *objects("Node", node(4)))
    await scene.look("Upgrading")
    clock.now += FIRST_SECONDS
    seen, _ = await scene.look("Upgrading")
    assert (seen.phase, seen.reason) == (ChildPhase.RUNNING, "AcceleratorsInUse")


@pytest.mark.parametrize("state", ["Serving", "Degraded"])
async def test_what_serves_is_asked_nothing(clock: Clock, state: str) -> None:
    scene = Scene(REPLACED, *objects("Pod", pod(FULL)), *objects("Node", node(4)))
    for _ in range(2):
        assert await scene.look(state) == (scene.record.seen(), float("inf"))
        clock.now += 1000


SERVES = rayservice(condition("Ready", "True", "NonZeroServeEndpoints"), activeServiceStatus=apps("RUNNING"))


def verdict(passed: bool) -> Any:
    return SimpleNamespace(verification=SimpleNamespace(passed=passed))


VERDICT = verdict(True)


class Asked:
    """An endpoint that counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0
        self.verdict: object | None = VERDICT

    async def __call__(self, session: Any, child: Any) -> Any:
        self.times += 1
        return self.verdict


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Asked:
    asked = Asked()
    monkeypatch.setattr(endpoint, "verdict", asked)
    monkeypatch.setattr(endpoint, "time", clock)
    monkeypatch.setattr(observe, "time", clock)
    return asked


async def test_what_serves_is_asked_for_its_verdict_once_it_is_ready(clock: Clock, asked: Asked) -> None:
    scene = Scene(SERVES)
    assert (await scene.look("Serving"))[0].report is VERDICT
    for _ in range(3):
        seen, again = await scene.look("Serving")
        assert (seen.report, again) == (None, float("inf"))
    assert asked.times == 1


async def test_what_serves_is_asked_anew_after_a_change_and_from_time_to_time(
    clock: Clock, asked: Asked
) -> None:
    scene = Scene(SERVES)
    await scene.look("Serving")
    scene.observer._cache.put(record_of(REPLACED), clock.now)
    scene.observer._cache.put(record_of(SERVES), clock.now)
    clock.now += HOLD_SECONDS
    assert (await scene.look("Serving"))[0].report is VERDICT
    clock.now += OperatorSettings().resync_seconds
    assert (await scene.look("Serving"))[0].report is VERDICT
    assert asked.times == 3


@pytest.mark.parametrize("state", ["Serving", "Degraded"])
async def test_what_says_nothing_is_asked_until_it_does(clock: Clock, asked: Asked, state: str) -> None:
    scene, asked.verdict = Scene(SERVES), None
    for times in (1, 2):
        assert (await scene.look(state))[1] == SERVING_SECONDS
        assert asked.times == times


async def test_what_is_not_well_is_looked_at_again(clock: Clock, asked: Asked) -> None:
    scene, asked.verdict = Scene(SERVES), verdict(False)
    for state in ("Serving", "Degraded"):
        assert (await scene.look(state))[1] == SERVING_SECONDS


async def test_what_was_heard_while_it_was_verified_is_not_asked_for_again(
    clock: Clock, asked: Asked
) -> None:
    scene = Scene(SERVES)
    assert (await scene.look("Checking"))[0].report is VERDICT
    assert await scene.look("Serving") == (scene.record.seen(), float("inf"))


async def test_what_was_heard_goes_with_the_workflow(clock: Clock, asked: Asked) -> None:
    scene = Scene(SERVES)
    await scene.look("Serving")
    scene.observer.forget(scene.record.key)
    await scene.look("Serving")
    assert asked.times == 2
