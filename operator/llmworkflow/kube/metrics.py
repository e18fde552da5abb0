"""What Prometheus is told."""

from collections import Counter as Count
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmworkflow import __version__
from llmworkflow.kube.cache import Key
from llmworkflow.kube.standing import Standing

_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_STAGE_BUCKETS = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 259200)

RECONCILES = Counter("llmworkflow_reconciles", "Looks at a workflow, by how they came out.", ["result"])
RECONCILE_SECONDS = Histogram(
    "llmworkflow_reconcile_seconds", "How long a look at a workflow takes.", buckets=_BUCKETS
)
API_REQUESTS = Counter(
    "llmworkflow_api_requests", "Requests to the API server, by status.", ["verb", "status"]
)
STATUS_WRITES = Counter("llmworkflow_status_writes", "Statuses written.")
ACTIONS = Counter("llmworkflow_actions", "What was done to children.", ["action"])
TRANSITIONS = Counter("llmworkflow_stage_transitions", "Changes of state of stages.", ["state", "reason"])
STAGE_SECONDS = Histogram(
    "llmworkflow_stage_seconds",
    "How long stages took from their attempt's start to their end.",
    ["kind", "state"],
    buckets=_STAGE_BUCKETS,
)
WATCH_RESTARTS = Counter("llmworkflow_watch_restarts", "Watches that had to begin anew.", ["kind"])
IS_LEADER = Gauge("llmworkflow_is_leader", "Whether this replica acts.")
QUEUE_DEPTH = Gauge("llmworkflow_queue_depth", "Workflows that wait for their turn.")
VERSION = Gauge("llmworkflow_build_info", "Version of the operator.", ["version"])
VERSION.labels(__version__).set(1)

for _result in ("done", "again", "conflict", "refused", "error"):
    RECONCILES.labels(_result)  # a counter that is not there before it counts has no rate

Standings = Iterable[tuple[Key, Standing]]
"""Stages with their workflows."""


class StateCollector(Collector):
    """What is counted when Prometheus asks the replica that acts: where stages stand, and accelerators in use."""

    def __init__(self, stages: Callable[[], Standings], gpus: Callable[[], Mapping[str, int]]) -> None:
        self._stages = stages
        self._gpus = gpus

    def collect(self) -> Iterable[Metric]:
        """The gauges."""
        found = list(self._stages())
        states = GaugeMetricFamily("llmworkflow_stages", "Stages in a state.", labels=["kind", "state"])
        counted = Count((stage.kind, stage.state.value) for _, stage in found)
        for (kind, state), number in sorted(counted.items()):
            states.add_metric([kind, state], number)
        held = GaugeMetricFamily(
            "llmworkflow_gpus_held", "Accelerators that children ask for.", labels=["namespace"]
        )
        for namespace, number in sorted(self._gpus().items()):
            held.add_metric([namespace], number)
        return [states, _unsettled(found), held]


def _unsettled(stages: Standings) -> Metric:
    """The stages that somebody waits for, or has to mend: those at rest would be too many."""
    found = GaugeMetricFamily(
        "llmworkflow_stage_changed_timestamp_seconds",
        "When a stage that is not at rest last changed its state or made progress.",
        labels=["namespace", "workflow", "stage", "kind", "state", "reason"],
    )
    for (namespace, workflow), stage in stages:
        if not stage.at_rest:
            labels = [namespace, workflow, stage.name, stage.kind, stage.state.value, stage.reason]
            found.add_metric(labels, stage.since)
    return found


def register(collector: StateCollector, registry: CollectorRegistry = REGISTRY) -> None:
    """Have the collector asked."""
    registry.register(collector)
