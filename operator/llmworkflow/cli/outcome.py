"""What a status means to a person who waits, and to the exit code."""

from enum import Enum

from llmworkflow.api.names import ConditionType
from llmworkflow.api.status import LLMWorkflowStatus


class Outcome(Enum):
    """How far a workflow is."""

    WORKING = "working"
    READY = "ready"
    FAILED = "failed"


def holds(status: LLMWorkflowStatus, condition: ConditionType) -> bool:
    """Whether a condition is True."""
    return any(item.type == condition and item.status == "True" for item in status.conditions)


def outcome(status: LLMWorkflowStatus, generation: int) -> Outcome:
    """Whether what this generation asks for is there, will never be, or is on its way."""
    if status.observed_generation != generation or holds(status, ConditionType.PROGRESSING):
        return Outcome.WORKING
    if holds(status, ConditionType.READY):
        return Outcome.READY
    if holds(status, ConditionType.FAILED) or holds(status, ConditionType.STALLED):
        return Outcome.FAILED
    return Outcome.WORKING
