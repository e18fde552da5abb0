"""The one exception that a job ends with on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# So many names can still be read in a message.
_FEW = 12


class JobError(Exception):
    """A job cannot go on, for a reason that a person or the operator can act upon.

    `reason` is CamelCase and stable; `message` names the object, the field, the value and the remedy;
    `retryable` tells the operator whether another attempt may end differently, and `artifact` the address of what an
    earlier stage has to make again before that.
    """

    def __init__(
        self, reason: str, message: str, retryable: bool = False, artifact: str | None = None
    ) -> None:
        super().__init__(reason, message, retryable, artifact)
        self.reason = reason
        self.message = message
        self.retryable = retryable
        self.artifact = artifact

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def unknown_name(reason: str, what: str, name: str, known: Iterable[str]) -> JobError:
    """The JobError for a `name` that is not among the `known` ones; the remedy is the nearest, and all if they are few.

    `what` says what the name should have been, such as "metric".
    """
    choices = sorted(known)
    nearest = [f"did you mean {match}?" for match in get_close_matches(name, choices, n=1)]
    listed = [f"known are {', '.join(choices)}"] if len(choices) <= _FEW or not nearest else []
    return JobError(reason, f"{name} is not a {what}; {' '.join([*nearest, *listed])}")
