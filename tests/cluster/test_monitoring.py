"""The chart's alerts and its dashboard, evaluated by a real Prometheus that scrapes a running operator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.chart.helm import CHART, of_kind, rendered

from .api import eventually
from .conftest import Cluster
from .operator_process import ACCOUNT, OperatorProcess, at_work
from .prometheus import Prometheus
from .scripts import FAILS, NEVER_ENDS
from .workflows import begin, wait_for

pytestmark = pytest.mark.timeout(240)

HANGS_SECONDS = 3
VARIABLES = {"$namespace": ".*", "$__rate_interval": "30s", "$__range": "10m"}  # as Grafana fills them in
QUERIES = [
    (panel["title"], target["expr"])
    for panel in json.loads((CHART / "files" / "dashboard.json").read_text())["panels"]
    for target in panel.get("targets", [])
]


def rules() -> dict[str, Any]:
    """The chart's, without the patience that they have with a real cluster."""
    values = {"enabled": True, "hangsSeconds": HANGS_SECONDS, "for": "1s"}
    (found,) = of_kind(rendered(**{"metrics.rules": values}), "PrometheusRule")
    spec: dict[str, Any] = found["spec"]
    return spec


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with at_work(cluster, tmp_path_factory.mktemp("monitored")) as found:
        yield found


@pytest.fixture(scope="module")
def prometheus(operator: OperatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    target = httpx.URL(operator.url).netloc.decode()
    found = Prometheus(tmp_path_factory.mktemp("prometheus"), f"{ACCOUNT}-metrics", target, rules())
    found.start()
    yield found
    found.stop()


def fires(prometheus: Prometheus, alert: str, **labels: str) -> dict[str, Any]:
    """The alert, once it fires with these labels."""
    wanted = {"alertname": alert, **labels}
    return eventually(
        lambda: next(
            (found for found in prometheus.firing() if wanted.items() <= found["labels"].items()), None
        ),
        60,
        f"{alert} fires for {labels}",
    )


@pytest.mark.capability("monitoring")
def test_a_stage_that_fails_and_one_that_hangs_are_told(
    cluster: Cluster, namespace: str, prometheus: Prometheus
) -> None:
    cluster.dashboard.script_job(namespace, "tune", FAILS)
    begin(cluster, namespace)
    found = fires(prometheus, "LLMWorkflowStageFailed", namespace=namespace, stage="tune", workflow="viggo")
    assert found["annotations"]["summary"] == f"Stage tune of {namespace}/viggo failed: DataInvalid"
    failed = [alert for alert in prometheus.firing() if alert["labels"].get("namespace") == namespace]
    assert len(failed) == 1, "what only waited for it is no news"

    cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    begin(cluster, namespace, "hanging")
    found = fires(prometheus, "LLMWorkflowStageHangs", namespace=namespace, stage="tune", workflow="hanging")
    assert "without a change for" in found["annotations"]["description"]
    cluster.dashboard.finish_jobs(namespace)
    wait_for(cluster, namespace, "Ready", "hanging")
    eventually(lambda: not _of(prometheus, "hanging"), 30, "what goes on is told no more")


def _of(prometheus: Prometheus, workflow: str) -> list[Any]:
    return [alert for alert in prometheus.firing() if alert["labels"].get("workflow") == workflow]


@pytest.fixture(scope="module")
def history(cluster: Cluster, prometheus: Prometheus) -> Prometheus:
    """After a workflow has gone its way, and while another works."""
    done, at_work = cluster.make_namespace(), cluster.make_namespace()
    begin(cluster, done)
    wait_for(cluster, done, "Ready")
    cluster.dashboard.script_job(at_work, "tune", NEVER_ENDS)
    begin(cluster, at_work)
    found = f'llmworkflow_stage_changed_timestamp_seconds{{namespace="{at_work}"}}'
    eventually(lambda: prometheus.query(found), 60, "the stage at work is known")
    return prometheus


@pytest.mark.capability("monitoring")
@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=[title for title, _ in QUERIES])
def test_every_query_of_the_dashboard_gives_series(history: Prometheus, title: str, expression: str) -> None:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    eventually(lambda: _numbers(history, expression), 30, f"{title} has series: {expression}")


def _numbers(prometheus: Prometheus, expression: str) -> list[float]:
    """The values that are some: a quantile of nothing is not."""
    values = [float(series["value"][1]) for series in prometheus.query(expression)]
    return [value for value in values if value >= 0]


def test_an_operator_that_is_gone_is_told(operator: OperatorProcess, history: Prometheus) -> None:
    assert not [alert for alert in history.firing() if alert["labels"]["alertname"] == "LLMWorkflowNoLeader"]
    operator.stop()
    fires(history, "LLMWorkflowNoLeader", severity="critical")
