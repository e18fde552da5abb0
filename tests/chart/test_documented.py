"""The guide names every alert and every metric, and what is asked of Prometheus is there."""

from __future__ import annotations

import json
import re

import pytest
from prometheus_client import REGISTRY

from llmworkflow.kube.metrics import StateCollector
from llmworkflow.kube.reconcile import Reconciler  # noqa: F401  all metrics are registered

from .helm import CHART, of_kind, rendered

pytestmark = pytest.mark.cluster

GUIDE = (CHART.parents[1] / "docs" / "operations.md").read_text()
METRICS = {
    found.name + ("_total" if found.type == "counter" else "")
    for collected in (REGISTRY.collect(), StateCollector(list, dict).collect())
    for found in collected
    if found.name.startswith("llmworkflow_")
}


def _rules() -> list[dict[str, str]]:
    (found,) = of_kind(rendered(**{"crds.install": False, "metrics.rules.enabled": True}), "PrometheusRule")
    return [rule for group in found["spec"]["groups"] for rule in group["rules"]]


def test_every_alert_is_in_the_guide() -> None:
    assert set(re.findall(r"^\| `(LLMWorkflow\w+)`", GUIDE, re.MULTILINE)) == {
        rule["alert"] for rule in _rules()
    }


def test_every_metric_is_in_the_guide() -> None:
    assert set(re.findall(r"`(llmworkflow_\w+)", GUIDE)) == METRICS


def test_alerts_and_dashboard_ask_for_what_there_is() -> None:
    panels = json.loads((CHART / "files" / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    asked = set(re.findall(r"llmworkflow_\w+", " ".join([*queries, *(rule["expr"] for rule in _rules())])))
    assert {re.sub(r"_bucket$", "", name) for name in asked} <= METRICS
