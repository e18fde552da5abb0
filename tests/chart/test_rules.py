"""The alerts, over series that they are for and series that they are not for, by Prometheus' own promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.debian import program

from .helm import of_kind, rendered

pytestmark = pytest.mark.cluster

MINUTES = 30  # into the series
OPERATOR = 'job="llmworkflow-operator-metrics", instance="one"'
LEADER = {f"llmworkflow_is_leader{{{OPERATOR}}}": "1x60"}
REST = {f'llmworkflow_reconciles_total{{{OPERATOR}, result="done"}}': "0+9x60"}
IDLE = {f'llmworkflow_reconciles_total{{{OPERATOR}, result="done"}}': "9x60"}
WAITING = {f"llmworkflow_queue_depth{{{OPERATOR}}}": "7x60"}


def stage(state: str, since: str = "0x60", reason: str = "") -> dict[str, str]:
    where = 'namespace="team", workflow="viggo", stage="tune", kind="fineTune"'
    name = "llmworkflow_stage_changed_timestamp_seconds"
    return {f'{name}{{{where}, state="{state}", reason="{reason}"}}': since}


def requests(status: str, series: str) -> dict[str, str]:
    return {f'llmworkflow_api_requests_total{{{OPERATOR}, verb="GET", status="{status}"}}': series}


# What is seen, and the alerts that fire.
CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "all is well": ({**LEADER, **REST, **stage("Running", "0+60x60")}, []),
    "a stage failed": ({**LEADER, **stage("Failed")}, ["LLMWorkflowStageFailed"]),
    "what depended on it": ({**LEADER, **stage("Failed", reason="DependencyFailed")}, []),
    "a stage failed days ago": ({**LEADER, **stage("Failed", "-99999x60")}, []),
    "a stage hangs": ({**LEADER, **stage("Running", "-3000x60")}, ["LLMWorkflowStageHangs"]),
    "a stage waits for its pods": ({**LEADER, **stage("Starting", "-7000x60")}, ["LLMWorkflowStagePending"]),
    "a stage waits in a queue": ({**LEADER, **stage("Queued", "-99999x60")}, []),
    "a person is waited for": ({**LEADER, **stage("AwaitingApproval", "-99999x60")}, []),
    "an endpoint is down": ({**LEADER, **stage("Degraded", "1x60")}, ["LLMWorkflowEndpointUnavailable"]),
    "no operator": ({}, ["LLMWorkflowNoLeader"]),
    "nobody leads": ({f"llmworkflow_is_leader{{{OPERATOR}}}": "0x60"}, ["LLMWorkflowNoLeader"]),
    "looks fail": (
        {**LEADER, f'llmworkflow_reconciles_total{{{OPERATOR}, result="error"}}': "0+1x60"},
        ["LLMWorkflowReconcileErrors"],
    ),
    "one look failed": (
        {**LEADER, f'llmworkflow_reconciles_total{{{OPERATOR}, result="error"}}': "0x20 1x40"},
        [],
    ),
    "the queue is stuck": ({**LEADER, **WAITING, **IDLE}, ["LLMWorkflowQueueStuck"]),
    "the queue is long": ({**LEADER, **WAITING, **REST}, []),
    "the queue of a standby": (
        {'llmworkflow_is_leader{job="llmworkflow-operator-metrics", instance="two"}': "1x60", **WAITING, **IDLE},
        [],
    ),
    "the API server is away": (
        {**LEADER, **requests("unreachable", "0+1x60"), **requests("200", "0+9x60")},
        ["LLMWorkflowApiErrors"],
    ),
    "few requests fail": ({**LEADER, **requests("500", "0+1x60"), **requests("200", "0+99x60")}, []),
    "conflicts are no errors": ({**LEADER, **requests("409", "0+9x60"), **requests("200", "0+9x60")}, []),
}  # fmt: skip


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (found,) = of_kind(rendered(**{"crds.install": False, "metrics.rules.enabled": True}), "PrometheusRule")
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(yaml.safe_dump(found["spec"]))
    return path


def promtool(*arguments: str | Path) -> str:
    command = [program("prometheus", "promtool"), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_rules_are_valid(rules: Path) -> None:
    assert "SUCCESS: 8 rules found" in promtool("check", "rules", rules)


@pytest.mark.capability("monitoring")
def test_alerts(rules: Path, tmp_path: Path) -> None:
    alerts = [
        rule["alert"] for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]
    ]
    assert sorted({alert for _, expected in CASES.values() for alert in expected}) == sorted(alerts)
    path = tmp_path / "cases.yaml"
    cases = [_case(name, *case, alerts) for name, case in CASES.items()]
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "tests": cases}))
    told = promtool("test", "rules", path)
    assert "SUCCESS" in told, told


def _case(name: str, series: dict[str, str], expected: list[str], alerts: list[str]) -> dict[str, Any]:
    """A test of all alerts, by whether each fires: their texts are looked at where Prometheus really runs."""
    tests = [
        {
            "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
            "eval_time": f"{MINUTES}m",
            "exp_samples": [{"labels": "{}", "value": int(alert in expected)}],
        }
        for alert in alerts
    ]
    inputs = [{"series": key, "values": values} for key, values in series.items()]
    return {"name": name, "interval": "1m", "input_series": inputs, "promql_expr_test": tests}
