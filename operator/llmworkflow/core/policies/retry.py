"""An attempt that failed is followed by another one, or by the end of the stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from llmworkflow.api.names import Reason
from llmworkflow.api.status import Attempt, StageState, StageStatus
from llmworkflow.core.clock import moment, stamp
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.states import clip, explain, move
from llmworkflow.core.view import View

BACKOFF_SECONDS = 10  # before the second attempt: a passing trouble of a node or of storage has often passed
BACKOFF_LIMIT_SECONDS = 600  # a longer wait would leave a mended cluster idle
ATTEMPTS_KEPT = 10

_S = StageState
_SERVED = (_S.SERVING, _S.DEGRADED)


@dataclass(frozen=True)
class Failure:
    """Why an attempt came to nothing."""

    reason: str
    message: str
    retryable: bool = True
    misses: Sequence[str] = ()  # artifacts of other stages that were not there


def failed(view: View, failure: Failure) -> StageStatus:
    """The attempt ended: the next one after a pause, or the end of the stage.

    What served was good, so that it is always worth another attempt, at once; so is what was to take its place, where
    both were deleted.
    """
    status = view.status
    served = status.state in _SERVED or (status.state is _S.UPGRADING and failure.reason == Reason.LOST)
    failures = 0 if served else status.failures + 1
    ended = end_attempt(view, failure.reason, failure.message).model_copy(update={"failures": failures})
    if not served and (not failure.retryable or failures > view.stage.retries):
        return move(ended, _S.FAILED, failure.reason, _final(failure, failures), finished_at=view.time)
    pause = 0 if served else backoff(failures)
    again = ended.model_copy(
        update={
            "retry_at": stamp(view.world.now + timedelta(seconds=pause)),
            "misses": list(failure.misses),
        }
    )
    return stop(view, again, failure.reason, failure.message)


def stop(view: View, status: StageStatus, reason: str, message: str) -> StageStatus:
    """The stage without its child: what follows waits until it is gone."""
    forgotten = status.model_copy(
        update={"progress": None, "running_at": None, "ran_seconds": 0, "verification": None}
    )
    if status.state is _S.STOPPING or (status.state is _S.WAITING and view.gone):
        return explain(forgotten, reason, message)
    if view.gone:
        return move(forgotten, _S.WAITING, reason, message, child=None)
    return move(forgotten, _S.STOPPING, reason, message)


def stopped(view: View) -> StageStatus | None:
    """The child that was to go is gone."""
    status = view.status
    if status.state is not _S.STOPPING or not view.gone:
        return None
    if status.reason == Reason.CANCELLED:
        return move(status, _S.CANCELLED, status.reason, status.message, child=None, finished_at=view.time)
    return move(status, _S.WAITING, status.reason, status.message, child=None)


def pausing(view: View) -> Hold | None:
    """Whether the next attempt is still to wait."""
    status = view.status
    if status.retry_at is None:
        return None
    left = (moment(status.retry_at) - view.world.now).total_seconds()
    if not 0 < left <= BACKOFF_LIMIT_SECONDS:  # no pause is longer: the clock was put back
        return None
    last = status.attempts[-1]
    message = (
        f"attempt {last.attempt} failed ({last.reason}: {last.message}); the next begins at {status.retry_at}"
    )
    return Hold(_S.WAITING, Reason.BACKOFF, message)


def backoff(failures: int) -> int:
    """Seconds to wait after so many failures in a row: twice as long after each."""
    return min(BACKOFF_LIMIT_SECONDS, BACKOFF_SECONDS << min(failures - 1, 10))


def end_attempt(view: View, reason: str, message: str) -> StageStatus:
    """Record that the attempt is over, so that the next one of its revision gets another number."""
    status = view.status
    if status.revision is None or status.attempt == 0 or attempt_ended(status):
        return status
    ended = Attempt(
        revision=status.revision,
        attempt=status.attempt,
        reason=str(reason),
        message=clip(message),
        finished_at=view.time,
    )
    return status.model_copy(update={"attempts": [*status.attempts, ended][-ATTEMPTS_KEPT:]})


def attempt_ended(status: StageStatus) -> bool:
    """Whether the latest attempt of the stage's revision is over."""
    return any(
        (ended.revision, ended.attempt) == (status.revision, status.attempt) for ended in status.attempts
    )


def next_attempt(status: StageStatus) -> int:
    """Number of the attempt that comes next: the same one again where it was only interrupted."""
    return status.attempt + 1 if status.attempt == 0 or attempt_ended(status) else status.attempt


def last_attempt(status: StageStatus, revision: str) -> int:
    """Number of the latest attempt of a revision, 0 where there was none."""
    return max((ended.attempt for ended in status.attempts if ended.revision == revision), default=0)


def _final(failure: Failure, failures: int) -> str:
    return failure.message if failures == 1 else f"{failure.message} (after {failures} attempts)"
