"""The answers to the requests of a batch, whatever it is that answers: counted, asked for again, turn by turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.rows import Answer, Request

# Yields (position, answer) once for each request without an error, in any order.
Ask = Callable[[Sequence[Request]], Iterable[tuple[int, Answer]]]
# The request of the next turn: of the first request of the conversation, and the texts that answered it so far.
NextTurn = Callable[[Request, Sequence[str]], Request]

# Errors of requests that are wrong, and fail as often as they are asked, by the names of their exceptions.
_REFUSALS = (
    "ValueError",
    "VLLMValidationError",
    "BadRequestError",
    "NotFoundError",
    "UnprocessableEntityError",
)


def collect(requests: Sequence[Request], ask: Ask, on_row_error: str) -> list[Answer | None]:
    """The answer of each request, in order, None where there is none.

    Raises RowsFailed at the first error if `on_row_error` is "fail".
    """
    answers: list[Answer | None] = [None] * len(requests)
    for index, answer in ask(requests):
        if answer.error is not None and on_row_error == "fail":
            raise JobError(
                "RowsFailed",
                f"row {requests[index].row_id}: {answer.error}; set onRowError: continue to go on without such rows",
            )
        answers[index] = answer
    return answers


def retried(ask: Ask, retries: int) -> Ask:
    """Asks again, up to `retries` times, for what failed and was not refused."""

    def again(requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for left in reversed(range(retries + 1)):
            failed = set()
            for index, answer in ask(requests):
                if left and answer.error is not None and not answer.error.startswith(_REFUSALS):
                    failed.add(index)
                else:
                    yield index, answer
            if not failed:
                return
            requests = only(requests, failed)

    return again


def in_turns(ask: Ask, turns: int, next_turn: NextTurn) -> Ask:
    """Asks for each request and then for its further turns; the answer is the last one, with those before."""

    def conversation(requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        said: dict[int, list[Answer]] = {index: [] for index in askable(requests)}
        current = list(requests)
        for turn in range(turns + 1):
            for index, answer in ask(current):
                if answer.error is not None or turn == turns:
                    yield index, replace(answer, turns=said.pop(index))
                else:
                    said[index].append(answer)
            current = only(current, said)
            for index, before in said.items():
                current[index] = next_turn(requests[index], [answer.text for answer in before])
                if error := current[index].error:
                    yield index, replace(before[-1], error=error, turns=before[:-1])
            said = {index: before for index, before in said.items() if current[index].error is None}

    return conversation


def counted(ask: Ask, total: int, report: Report) -> Ask:
    """Reports progress towards `total` answers."""
    progress = _Progress(total, report)

    def counting(requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for found in ask(requests):
            progress.add()
            yield found

    return counting


def askable(requests: Sequence[Request]) -> list[int]:
    """Positions of the requests that can be asked."""
    return [index for index, request in enumerate(requests) if request.error is None]


def only(requests: Sequence[Request], chosen: Collection[int]) -> list[Request]:
    """The requests in their places, of which only those at the `chosen` positions are asked."""
    return [
        request if index in chosen or request.error else request.failed("it is not its turn")
        for index, request in enumerate(requests)
    ]


class _Progress:
    """Reports at most every two seconds: rows are many, and a report is an object of the API server."""

    _INTERVAL = 2.0

    def __init__(self, total: int, report: Report) -> None:
        self._total = total
        self._report = report
        self._done = 0
        self._next = 0.0

    def add(self) -> None:
        self._done += 1
        if (now := time.monotonic()) >= self._next:
            self._next = now + self._INTERVAL
            self._report.progress(self._done, self._total, f"{self._done} of {self._total} rows")
