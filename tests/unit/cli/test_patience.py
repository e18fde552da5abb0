"""How long is waited for an API server that is away."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmworkflow.cli import patience
from llmworkflow.client.errors import RefusedError
from llmworkflow.kube.errors import ApiError


class Clock:
    """Time passes only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    return clock


def refused(status: int) -> RefusedError:
    return RefusedError(ApiError(status, "", "no"))


def test_what_passes_is_waited_for(clock: Clock) -> None:
    answers: list[object] = [refused(0), refused(503), "seen"]

    def look() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patience.patiently(look) == "seen"


@pytest.mark.parametrize(("status", "seconds"), [(403, 0), (404, 0), (0, patience.AWAY_SECONDS)])
def test_a_refusal_is_told_at_once_and_an_absence_after_a_minute(
    clock: Clock, status: int, seconds: float
) -> None:
    def look() -> None:
        raise refused(status)

    with pytest.raises(RefusedError):
        patience.patiently(look)
    assert seconds <= clock.now <= seconds + patience.PAUSE_SECONDS
