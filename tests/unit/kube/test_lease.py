"""Leadership: by one at a time, given up at once, taken over after the lease ran out by one's own clock."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.kube import lease
from llmworkflow.kube.lease import DURATION_SECONDS, RENEW_DEADLINE_SECONDS, Leadership

from .fake_api import FakeApi


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(lease, "time", clock)
    return clock


def replica(api: FakeApi, name: str, told: list[Any] | None = None) -> Leadership:
    changed = (lambda _: None) if told is None else told.append
    return Leadership(api, "llmworkflow", "lease", name, changed)  # type: ignore[arg-type]


async def test_first_one_leads_and_the_other_stands_by(clock: Clock) -> None:
    api = FakeApi()
    a, b = replica(api, "a"), replica(api, "b")
    await a._try()
    await b._try()
    assert (a.leading, b.leading) == (True, False)


async def test_renewal_keeps_the_lease(clock: Clock) -> None:
    api = FakeApi()
    a, b = replica(api, "a"), replica(api, "b")
    for _ in range(20):
        await a._try()
        await b._try()
        clock.now += 2
    assert (a.leading, b.leading) == (True, False)
    assert api.objects["Lease", "lease"]["spec"]["leaseTransitions"] == 1


async def test_one_that_cannot_renew_stops_before_another_may_begin(clock: Clock) -> None:
    api = FakeApi()
    a, b = replica(api, "a"), replica(api, "b")
    await a._try()
    await b._try()
    assert RENEW_DEADLINE_SECONDS < DURATION_SECONDS
    clock.now += RENEW_DEADLINE_SECONDS
    assert not a.leading
    await b._try()
    assert not b.leading
    clock.now += DURATION_SECONDS - RENEW_DEADLINE_SECONDS + 0.1
    await b._try()
    assert b.leading


async def test_api_server_that_is_away_costs_the_lease_in_time(clock: Clock) -> None:
    api, told = FakeApi(), list[Any]()
    a = replica(api, "a", told)
    await a._try()
    a._tell()
    api.away = True
    clock.now += 5
    await a._try()
    a._tell()
    assert a.leading
    clock.now += 6
    await a._try()
    a._tell()
    assert told == [True, False]


async def test_container_that_starts_again_in_its_pod_goes_on_at_once(clock: Clock) -> None:
    api = FakeApi()
    await replica(api, "pod")._try()
    again = replica(api, "pod")
    await again._try()
    assert again.leading


async def test_release_lets_the_next_one_begin_at_once(clock: Clock) -> None:
    api = FakeApi()
    a, b = replica(api, "a"), replica(api, "b")
    await a._try()
    await b._try()
    await a._release()
    await b._try()
    assert (a.leading, b.leading) == (False, True)
