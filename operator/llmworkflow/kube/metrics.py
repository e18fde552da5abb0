"""What Prometheus is told."""

from collections import Counter as Count
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llmworkflow import __version__

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

StageStates = Iterable[tuple[str, str]]
"""Kind and state of stages."""


class StateCollector(Collector):
    """What is counted when Prometheus asks: states of stages, and accelerators that children hold."""

    def __init__(self, states: Callable[[], StageStates], gpus: Callable[[], Mapping[str, int]]) -> None:
        self._states = states
        self._gpus = gpus

    def collect(self) -> Iterable[Metric]:
        """The gauges."""
        stages = GaugeMetricFamily("llmworkflow_stages", "Stages in a state.", labels=["kind", "state"])
        for (kind, state), number in sorted(Count(self._states()).items()):
            stages.add_metric([kind, state], number)
        held = GaugeMetricFamily(
            "llmworkflow_gpus_held", "Accelerators that children ask for.", labels=["namespace"]
        )
        for namespace, number in sorted(self._gpus().items()):
            held.add_metric([namespace], number)
        return [stages, held]


def register(collector: StateCollector, registry: CollectorRegistry = REGISTRY) -> None:
    """Have the collector asked."""
    registry.register(collector)
