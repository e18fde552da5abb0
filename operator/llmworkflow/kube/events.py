"""Kubernetes Events: one a transition, and one for each trouble that keeps a stage or the whole where it is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import PendingReason, Reason
from llmworkflow.api.spec.workflow import API_VERSION, KIND
from llmworkflow.api.status import LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.core.actions import Transition
from llmworkflow.kube.client import FIELD_MANAGER

_WARNINGS = (StageState.FAILED, StageState.DEGRADED)
_TROUBLES = frozenset(reason.value for reason in PendingReason)
_MESSAGE_LIMIT = 1024  # of an Event


@dataclass(frozen=True)
class Told:
    """What an Event says."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Warning"


def of_transitions(steps: Iterable[Transition]) -> Iterator[Told]:
    """What there is to tell of transitions."""
    for step in steps:
        why = f": {step.message}" if step.message else ""
        yield Told(
            reason=str(step.reason) or str(step.after),
            message=f"{step.stage}: {step.before} -> {step.after}{why}",
            type="Warning" if step.after in _WARNINGS else "Normal",
        )


def of_troubles(before: LLMWorkflowStatus, after: LLMWorkflowStatus) -> Iterator[Told]:
    """What stages wait for that did not wait for it before."""
    known = {stage.name: stage.reason for stage in before.stages}
    for stage in after.stages:
        if _in_trouble(stage) and stage.reason != known.get(stage.name):
            yield Told(stage.reason, f"{stage.name}: {stage.message}")


def of_schedule(before: LLMWorkflowStatus, after: LLMWorkflowStatus) -> Iterator[Told]:
    """That a time of the schedule was let pass."""
    known, now = before.schedule, after.schedule
    if now and now.skipped and (known is None or known.skipped != now.skipped):
        yield Told(Reason.SCHEDULE_SKIPPED, f"the time {now.skipped} is skipped: {now.message}", "Normal")


def _in_trouble(stage: StageStatus) -> bool:
    """Whether something has to be mended before the stage goes on: its pods', or the spec that makes none."""
    unmade = stage.state is StageState.WAITING and stage.reason == Reason.INVALID_SPEC
    return unmade or stage.reason in _TROUBLES


def events_of(metadata: JsonObject, told: Iterable[Told], now: datetime) -> list[JsonObject]:
    """The Events to create about a workflow, each with a name that tells it from every other."""
    return [_event(metadata, one, now, index) for index, one in enumerate(told)]


def _event(metadata: JsonObject, told: Told, now: datetime, index: int) -> JsonObject:
    time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {key: metadata[key] for key in ("name", "namespace", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about['name']}.{int(now.timestamp() * 1e6):x}{index:02x}",
            "namespace": about["namespace"],
        },
        "involvedObject": {"apiVersion": API_VERSION, "kind": KIND, **about},
        "type": told.type,
        "reason": told.reason,
        "message": told.message[:_MESSAGE_LIMIT],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
