"""The states of a stage and what may follow what, with the event that leads there; nothing else decides it."""

from collections.abc import Mapping
from typing import Any

from llmworkflow.api.names import PendingReason
from llmworkflow.api.status import StageState, StageStatus

MESSAGE_LIMIT = 1024  # of a message, so that a status stays small

_S = StageState

TRANSITIONS: Mapping[tuple[StageState, StageState], str] = {
    # a stage that has no child
    (_S.WAITING, _S.QUEUED): "could start, but the workflow is suspended",
    (_S.WAITING, _S.STARTING): "dependencies succeeded: a child is requested",
    (_S.WAITING, _S.CHECKING): "this revision was done before: its result is reused",
    (_S.WAITING, _S.AWAITING_APPROVAL): "a promotion needs consent before it is served",
    (_S.WAITING, _S.STOPPING): "a child that should be gone was seen",
    (_S.WAITING, _S.FAILED): "another owner has the child's name",
    (_S.WAITING, _S.CANCELLED): "cancelled",
    (_S.QUEUED, _S.WAITING): "a dependency is no longer met",
    (_S.QUEUED, _S.STARTING): "resumed, or admitted by the queue",
    (_S.QUEUED, _S.CHECKING): "resumed, and this revision was done before",
    (_S.QUEUED, _S.AWAITING_APPROVAL): "resumed, and a promotion needs consent",
    (_S.QUEUED, _S.STOPPING): "suspended, edited, cancelled or lost while the queue held its child",
    (_S.QUEUED, _S.CANCELLED): "cancelled",
    # a stage whose child works
    (_S.STARTING, _S.QUEUED): "the queue holds the child back",
    (_S.STARTING, _S.RUNNING): "the child runs",
    (_S.STARTING, _S.WAITING): "the child is lost, or its name is still taken by a predecessor",
    (_S.STARTING, _S.STOPPING): "suspended, edited, cancelled, or failed and to be retried",
    (_S.STARTING, _S.FAILED): "failed for good, or pending for too long",
    (_S.STARTING, _S.CANCELLED): "cancelled when its child was gone already",
    (_S.RUNNING, _S.QUEUED): "preempted by the queue",
    (_S.RUNNING, _S.STARTING): "its pods are gone and start again",
    (_S.RUNNING, _S.CHECKING): "the job succeeded, or the endpoint is ready to be verified",
    (_S.RUNNING, _S.WAITING): "the child is lost",
    (_S.RUNNING, _S.STOPPING): "suspended, edited, cancelled, or failed and to be retried",
    (_S.RUNNING, _S.FAILED): "failed for good",
    (_S.RUNNING, _S.CANCELLED): "cancelled when its child was gone already",
    (_S.STOPPING, _S.WAITING): "the child is gone",
    (_S.STOPPING, _S.CANCELLED): "the child is gone, and the stage was cancelled",
    (_S.QUEUED, _S.FAILED): "deleted for good while it was held, or rejected",
    # a stage that is judged
    (_S.CHECKING, _S.AWAITING_APPROVAL): "the gates passed, and consent is needed",
    (_S.CHECKING, _S.SUCCEEDED): "the gates passed",
    (_S.CHECKING, _S.SERVING): "the endpoint answered as the batch did",
    (_S.CHECKING, _S.FAILED): "a gate or the verification failed",
    (_S.CHECKING, _S.RUNNING): "the endpoint is no longer ready",
    (_S.CHECKING, _S.STARTING): "the endpoint's pods are gone and start again",
    (_S.CHECKING, _S.QUEUED): "preempted by the queue",
    (_S.CHECKING, _S.WAITING): "edited or retried, the child is lost, or what it read was made anew",
    (_S.CHECKING, _S.STOPPING): "suspended, edited, cancelled, or failed and to be retried",
    (_S.CHECKING, _S.CANCELLED): "cancelled",
    (_S.AWAITING_APPROVAL, _S.SUCCEEDED): "approved",
    (_S.AWAITING_APPROVAL, _S.FAILED): "rejected, or another owner has the child's name",
    (_S.AWAITING_APPROVAL, _S.CHECKING): "its gates were edited",
    (_S.AWAITING_APPROVAL, _S.STARTING): "a promotion was approved",
    (_S.AWAITING_APPROVAL, _S.QUEUED): "a promotion was approved, but the workflow is suspended",
    (_S.AWAITING_APPROVAL, _S.WAITING): "edited or retried, or what it read was made anew",
    (_S.AWAITING_APPROVAL, _S.STOPPING): "edited, retried or cancelled while its child was being removed",
    (_S.AWAITING_APPROVAL, _S.CANCELLED): "cancelled",
    (_S.SUCCEEDED, _S.CHECKING): "its gates were edited",
    (_S.SUCCEEDED, _S.WAITING): "edited or retried, its artifact is missing, or what it read was made anew",
    (_S.SUCCEEDED, _S.STOPPING): "edited, retried or removed while its child was being removed",
    # a stage that serves
    (_S.SERVING, _S.UPGRADING): "a successor, or a predecessor after a rollback, is brought in",
    (_S.SERVING, _S.DEGRADED): "the endpoint is no longer healthy",
    (_S.SERVING, _S.QUEUED): "preempted by the queue",
    (_S.SERVING, _S.WAITING): "the child is lost",
    (_S.SERVING, _S.STOPPING): "suspended, cancelled or removed, or its child was deleted",
    (_S.SERVING, _S.CANCELLED): "cancelled when its child was gone already",
    (_S.UPGRADING, _S.SERVING): "what was brought in is verified",
    (_S.UPGRADING, _S.DEGRADED): "the predecessor did not come back in time",
    (_S.UPGRADING, _S.QUEUED): "preempted by the queue",
    (_S.UPGRADING, _S.WAITING): "the child is lost",
    (_S.UPGRADING, _S.STOPPING): "suspended, cancelled or removed, or its child failed or was deleted",
    (_S.UPGRADING, _S.FAILED): "the child failed for good",
    (_S.UPGRADING, _S.CANCELLED): "cancelled when its child was gone already",
    (_S.DEGRADED, _S.SERVING): "the endpoint is healthy again",
    (_S.DEGRADED, _S.UPGRADING): "a successor, or a predecessor after a rollback, is brought in",
    (_S.DEGRADED, _S.QUEUED): "preempted by the queue",
    (_S.DEGRADED, _S.WAITING): "the child is lost",
    (_S.DEGRADED, _S.STOPPING): "suspended, cancelled or removed, or its child failed or was deleted",
    (_S.DEGRADED, _S.CANCELLED): "cancelled when its child was gone already",
    # a stage that ended otherwise
    (_S.FAILED, _S.CHECKING): "its gates were edited, or a rejection was taken back",
    (_S.FAILED, _S.WAITING): "edited or retried",
    (_S.FAILED, _S.STOPPING): "edited, retried or removed while its child was being removed",
    (_S.CANCELLED, _S.WAITING): "edited or retried",
    (_S.CANCELLED, _S.STOPPING): "edited, retried or removed while its child was being removed",
}


class IllegalTransitionError(Exception):
    """A policy asked for what the table does not have: a fault of this program."""


def legal(before: StageState, then: StageState) -> bool:
    """Whether a stage may go from one state to the other at once."""
    return (before, then) in TRANSITIONS


def move(
    status: StageStatus, state: StageState, reason: str, message: str = "", **changes: Any
) -> StageStatus:
    """The stage in another state, with the reason for it.

    Raises:
        IllegalTransitionError: the table does not have this step.
    """
    if not legal(status.state, state):
        raise IllegalTransitionError(f"stage {status.name}: {status.state} -> {state} ({reason}: {message})")
    return status.model_copy(
        update={"state": state, "reason": str(reason), "message": clip(message), **changes}
    )


def explain(status: StageStatus, reason: str, message: str = "", **changes: Any) -> StageStatus:
    """The stage where it is, with what there is to say about it now."""
    return status.model_copy(update={"reason": str(reason), "message": clip(message), **changes})


def awaits_pods(status: StageStatus) -> bool:
    """Whether the stage tells why pods of its child are not there."""
    return status.reason in set(PendingReason)


def clip(message: str) -> str:
    """The message, cut to what a status holds."""
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
