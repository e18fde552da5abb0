"""What becomes of the answers to a batch's requests: counted, asked for again, turn by turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import answers, config, report, turns
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import Message
from llmworkflow_jobs.rows import Answer, Request

REQUESTS = [
    Request(10, {"name": "Ada"}, [{"role": "user", "content": "one"}], [1]),
    Request(11, {}, [], [], error="column instruction: missing"),
    Request(12, {}, [{"role": "user", "content": "two"}], [2]),
]
GOOD, BAD = Answer("name", [5], 0.1), Answer("", [], -1.0, "too long")


class Script:
    """Answers requests as told, a list for each time that it is asked, and remembers whom it was asked for."""

    def __init__(self, *rounds: dict[int, Answer]) -> None:
        self._rounds = iter(rounds)
        self.asked: list[list[list[int]]] = []

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        self.asked.append([requests[index].token_ids for index in answers.askable(requests)])
        told = next(self._rounds)
        assert sorted(told) == answers.askable(requests)
        yield from told.items()


def test_answers_find_their_requests() -> None:
    assert answers.collect(REQUESTS, Script({2: BAD, 0: GOOD}), "continue") == [GOOD, None, BAD]


def test_the_first_failed_row_ends_a_batch_that_takes_no_errors() -> None:
    stream = iter([(2, BAD), (0, GOOD)])
    with pytest.raises(JobError, match="row 12: too long") as caught:
        answers.collect(REQUESTS, lambda requests: stream, "fail")
    assert caught.value.reason == "RowsFailed"
    assert next(stream) == (0, GOOD)  # nothing further was asked for


def test_progress_is_told_at_once_and_then_after_a_while(
    tmp_path: Path, stage_config: Callable[..., dict[str, Any]]
) -> None:
    reporter = report.Report(
        config.parse(stage_config("batch")), report.FileSink(str(tmp_path / "report.json"))
    )
    found = list(answers.counted(Script({2: BAD, 0: GOOD}), 2, reporter)(REQUESTS))
    assert found == [(2, BAD), (0, GOOD)]
    assert json.loads((tmp_path / "report.json").read_text())["progress"]["message"] == "1 of 2 rows"


@pytest.mark.capability("row-errors")
def test_what_failed_is_asked_again() -> None:
    script = Script({0: BAD, 2: BAD}, {0: GOOD, 2: BAD}, {2: BAD})
    assert dict(answers.retried(script, 2)(REQUESTS)) == {0: GOOD, 2: BAD}
    assert script.asked == [[[1], [2]], [[1], [2]], [[2]]]


@pytest.mark.parametrize("error", ["ValueError: prompt is too long", "BadRequestError: no such field"])
def test_what_was_refused_is_not_asked_again(error: str) -> None:
    refused = replace(BAD, error=error)
    script = Script({0: refused, 2: GOOD})
    assert dict(answers.retried(script, 5)(REQUESTS)) == {0: refused, 2: GOOD}
    assert len(script.asked) == 1


def encode(messages: list[Message]) -> list[int]:
    return [len(message["content"]) for message in messages]


def converse(script: Script, *templates: str) -> dict[int, Answer]:
    follow = turns.following(templates, {"assistantPrefill": "> "}, encode)
    return dict(answers.in_turns(script, len(templates), follow)(REQUESTS))


@pytest.mark.capability("turns")
def test_a_conversation_goes_on_from_what_was_said() -> None:
    first, second, third = (replace(GOOD, text=text) for text in ("first", "second", "third"))
    script = Script({0: first, 2: first}, {2: second, 0: second}, {0: third, 2: third})
    found = converse(script, "more", "even more")
    assert found == {0: replace(third, turns=[first, second]), 2: replace(third, turns=[first, second])}
    assert script.asked[1] == [[3, len("> first"), 4]] * 2
    assert script.asked[2] == [[3, len("> first"), 4, len("> second"), 9]] * 2


def test_a_conversation_ends_with_what_fails() -> None:
    script = Script({0: GOOD, 2: BAD}, {0: GOOD})
    assert converse(script, "more") == {0: replace(GOOD, turns=[GOOD]), 2: BAD}


def test_a_turn_that_does_not_fit_its_row_is_an_error() -> None:
    script = Script({0: GOOD, 2: GOOD}, {0: GOOD})
    found = converse(script, "and {{ row.name }}")
    assert found[0] == replace(GOOD, turns=[GOOD])
    assert found[2].error is not None
    assert "turns[0]" in found[2].error
