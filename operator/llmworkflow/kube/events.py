"""Kubernetes Events: one a transition, after it was written."""

from collections.abc import Iterable
from datetime import UTC, datetime

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import API_VERSION, KIND, LLMWorkflow
from llmworkflow.api.status import StageState
from llmworkflow.core.actions import Transition
from llmworkflow.kube.client import FIELD_MANAGER

_WARNINGS = (StageState.FAILED, StageState.DEGRADED)
_MESSAGE_LIMIT = 1024  # of an Event


def events_of(workflow: LLMWorkflow, transitions: Iterable[Transition], now: datetime) -> list[JsonObject]:
    """The Events to create, each with a name that tells it from every other."""
    return [_event(workflow, step, now, index) for index, step in enumerate(transitions)]


def _event(workflow: LLMWorkflow, step: Transition, now: datetime, index: int) -> JsonObject:
    metadata = workflow.metadata
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = f": {step.message}" if step.message else ""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata.name}.{int(now.timestamp() * 1e6):x}{index:02x}",
            "namespace": metadata.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata.name,
            "namespace": metadata.namespace,
            "uid": metadata.uid,
        },
        "type": "Warning" if step.after in _WARNINGS else "Normal",
        "reason": str(step.reason) or str(step.after),
        "message": f"{step.stage}: {step.before} -> {step.after}{told}"[:_MESSAGE_LIMIT],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
