"""Where stages stand, and what Prometheus is told of it."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from llmworkflow.api.status import StageStatus
from llmworkflow.kube.metrics import StateCollector, register
from llmworkflow.kube.standing import standings


def stage(name: str = "tune", state: str = "Running", **more: Any) -> StageStatus:
    return StageStatus.model_validate({"name": name, "kind": "fineTune", "state": state, **more})


def test_what_has_not_changed_has_stood_so_for_as_long_as_before() -> None:
    first = standings([stage(progress={"percent": 10})], (), 100)
    same = standings([stage(progress={"percent": 10}, message="another")], first, 200)
    assert [found.since for found in same] == [100]


def test_progress_state_and_attempt_are_changes() -> None:
    first = standings([stage(progress={"percent": 10}, attempt=1)], (), 100)
    for change in (
        stage(progress={"percent": 11}, attempt=1),
        stage(progress={"percent": 10}, attempt=2),
        stage(state="Checking", progress={"percent": 10}, attempt=1),
    ):
        assert [found.since for found in standings([change], first, 200)] == [200]


def test_a_stage_failed_when_its_status_says_so_whoever_looks() -> None:
    (found,) = standings([stage(state="Failed", finishedAt="2026-01-01T00:00:00Z")], (), 9e9)
    assert found.since == 1767225600


def test_stages_are_counted_and_those_not_at_rest_are_named() -> None:
    found = standings(
        [stage(), stage("base", "Succeeded"), stage("chat", "Failed", reason="JobFailed")], (), 100
    )
    registry = CollectorRegistry()
    collector = StateCollector(lambda: [(("team", "viggo"), each) for each in found], lambda: {"team": 2})
    register(collector, registry)
    told = generate_latest(registry).decode().splitlines()
    changed = "llmworkflow_stage_changed_timestamp_seconds"
    where = 'kind="fineTune",namespace="team"'
    assert sorted(line for line in told if not line.startswith("#")) == [
        'llmworkflow_gpus_held{namespace="team"} 2.0',
        f'{changed}{{{where},reason="",stage="tune",state="Running",workflow="viggo"}} 100.0',
        f'{changed}{{{where},reason="JobFailed",stage="chat",state="Failed",workflow="viggo"}} 100.0',
        'llmworkflow_stages{kind="fineTune",state="Failed"} 1.0',
        'llmworkflow_stages{kind="fineTune",state="Running"} 1.0',
        'llmworkflow_stages{kind="fineTune",state="Succeeded"} 1.0',
    ]
