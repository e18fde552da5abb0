"""Reports: a running job is asked when it wrote something and a minute has passed, an ended one always."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmworkflow.kube import reports
from llmworkflow.kube.children import ChildRecord, record_of
from llmworkflow.kube.reports import ASK_SECONDS, PROGRESS_SECONDS, Reports

from .builders import metadata, rayjob
from .fake_api import FakeApi

NAME = "viggo-tune-report"
PLACE = ("ConfigMap", "team", NAME)


def config_map(percent: int) -> dict[str, Any]:
    work = {"workflow": "w-1", "stage": "tune", "revision": "1a1a", "attempt": 1}
    report = {"schemaVersion": 1, **work, "state": "Running", "progress": {"percent": percent}}
    return {"kind": "ConfigMap", "metadata": metadata(NAME), "data": {"report.json": json.dumps(report)}}


def job(state: str = "Running", **meta: Any) -> ChildRecord:
    return record_of(rayjob(status={"jobDeploymentStatus": state, "jobStatus": "SUCCEEDED"}, **meta))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(reports.time, "monotonic", lambda: now[0])
    return now


async def percent(found: Reports, child: ChildRecord | None = None) -> float | None:
    report, _ = await found.of(child or job(), NAME)
    return report.progress.percent if report and report.progress else None


async def test_a_job_that_writes_nothing_is_asked_once(clock: list[float]) -> None:
    api = FakeApi(config_map(1))
    found = Reports(api)  # type: ignore[arg-type]
    assert await percent(found) == 1
    clock[0] += 10 * PROGRESS_SECONDS
    assert (await found.of(job(), NAME))[1] == float("inf")
    assert len(api.reads) == 1


async def test_what_a_job_writes_is_read_after_a_minute(clock: list[float]) -> None:
    api = FakeApi(config_map(1))
    found = Reports(api)  # type: ignore[arg-type]
    assert found.changed(PLACE) is None, "nobody has asked for it yet"
    await percent(found)
    api.objects["ConfigMap", NAME] = config_map(2)
    clock[0] += 20
    assert found.changed(PLACE) == PROGRESS_SECONDS - 20
    assert await percent(found) == 1
    clock[0] += PROGRESS_SECONDS
    assert await percent(found) == 2


async def test_reports_go_with_their_workflow(clock: list[float]) -> None:
    found = Reports(FakeApi(config_map(1)))  # type: ignore[arg-type]
    await percent(found)
    found.forget(("team", "another"))
    assert found.changed(PLACE) is not None
    found.forget(job().key)
    assert found.changed(PLACE) is None


async def test_first_words_of_a_job_are_heard_at_once(clock: list[float]) -> None:
    api = FakeApi()
    found = Reports(api)  # type: ignore[arg-type]
    assert await percent(found) is None
    api.objects["ConfigMap", NAME] = config_map(1)
    assert found.changed(PLACE) == 0
    assert await percent(found) == 1


async def test_after_a_time_without_a_watch_reports_are_read_again(clock: list[float]) -> None:
    api = FakeApi(config_map(1))
    found = Reports(api)  # type: ignore[arg-type]
    await percent(found)
    found.all_changed()
    clock[0] += PROGRESS_SECONDS
    await percent(found)
    assert len(api.reads) == 2


@pytest.mark.parametrize("child", [job("Complete"), job(uid="another")], ids=["ended", "another"])
async def test_what_the_outcome_hangs_on_is_read_at_once(clock: list[float], child: ChildRecord) -> None:
    api = FakeApi(config_map(1))
    found = Reports(api)  # type: ignore[arg-type]
    await percent(found)
    api.objects["ConfigMap", NAME] = config_map(100)
    assert await percent(found, child) == 100


async def test_an_outcome_that_is_not_there_yet_is_asked_for_soon(clock: list[float]) -> None:
    found = Reports(FakeApi())  # type: ignore[arg-type]
    assert await found.of(job("Complete"), NAME) == (None, ASK_SECONDS)
