"""Looks again where an API server is away for a moment: who follows a workflow for hours is not to lose it then."""

import time
from collections.abc import Callable
from typing import TypeVar

from llmworkflow.client.errors import RefusedError

AWAY_SECONDS = 60.0  # for an API server, or the way to it, to be there again
PAUSE_SECONDS = 2.0

T = TypeVar("T")


def patiently(look: Callable[[], T]) -> T:
    """What is seen.

    Raises:
        ClientError: it is refused, or the API server has been away for long.
    """
    deadline = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return look()
        except RefusedError as error:
            if not error.passing or time.monotonic() > deadline:
                raise
        time.sleep(PAUSE_SECONDS)
