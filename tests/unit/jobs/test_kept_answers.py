"""Answers outlive the attempt that they were given to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import answers, config, kept_answers
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.rows import Answer, Request

REQUESTS = [Request(n, {}, [{"role": "user", "content": str(n)}], [n]) for n in range(10)]

Attempt = Callable[[int], JobConfig]


@pytest.fixture
def attempt(stage_config: Callable[..., dict[str, Any]]) -> Attempt:
    """A function (number) that returns the configuration of that attempt."""
    return lambda number: config.parse(stage_config("batch", stage={"attempt": number}))


class Backend:
    """Answers in order with the position, until it dies; some rows fail."""

    def __init__(self, dies_before: int = 99, fails: tuple[int, ...] = ()) -> None:
        self._dies_before = dies_before
        self._fails = fails
        self.asked: list[int] = []

    def __call__(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for index in answers.askable(requests):
            if index == self._dies_before:
                raise ConnectionError
            self.asked.append(index)
            error = "busy" if index in self._fails else None
            yield index, Answer(str(index), [index], 0.5, error)


def killed_at(five: int, job: JobConfig, name: str = "rows") -> None:
    with pytest.raises(ConnectionError):
        list(kept_answers.kept(Backend(dies_before=five), name, job)(REQUESTS))


def test_a_later_attempt_asks_for_the_others_only(attempt: Attempt) -> None:
    killed_at(5, attempt(1))
    backend = Backend()
    found = list(kept_answers.kept(backend, "rows", attempt(2))(REQUESTS))
    assert backend.asked == [5, 6, 7, 8, 9]
    assert sorted(found) == [(n, Answer(str(n), [n], 0.5)) for n in range(10)]


def test_nothing_is_asked_where_all_is_known(attempt: Attempt) -> None:
    list(kept_answers.kept(Backend(), "rows", attempt(1))(REQUESTS))
    backend = Backend()
    assert len(list(kept_answers.kept(backend, "rows", attempt(1))(REQUESTS))) == 10
    assert backend.asked == []


def test_failed_rows_are_asked_again(attempt: Attempt) -> None:
    list(kept_answers.kept(Backend(fails=(3, 4)), "rows", attempt(1))(REQUESTS))
    backend = Backend()
    list(kept_answers.kept(backend, "rows", attempt(2))(REQUESTS))
    assert backend.asked == [3, 4]


def test_answers_of_another_model_or_to_another_question_are_none(attempt: Attempt) -> None:
    killed_at(5, attempt(1))
    base, changed = Backend(), Backend()
    list(kept_answers.kept(base, "base", attempt(1))(REQUESTS))
    assert len(base.asked) == 10
    others = [Request(n, {}, [{"role": "user", "content": "else"}], [n]) for n in range(10)]
    list(kept_answers.kept(changed, "rows", attempt(1))(others))
    assert len(changed.asked) == 10


def test_a_file_that_was_being_written_is_passed_over(attempt: Attempt, tmp_path: Path) -> None:
    killed_at(5, attempt(1))
    (folder,) = tmp_path.rglob("answered/rows")
    (folder / "part-00002.jsonl.tmp-17").write_text('{"key": ')
    backend = Backend()
    list(kept_answers.kept(backend, "rows", attempt(2))(REQUESTS))
    assert backend.asked == [5, 6, 7, 8, 9]


def test_nothing_is_left_of_them(attempt: Attempt, tmp_path: Path) -> None:
    killed_at(5, attempt(1))
    killed_at(8, attempt(2))
    kept_answers.remove(attempt(2))
    assert not list(tmp_path.rglob("answered"))


def test_answers_of_what_was_made_anew_since_are_none(attempt: Attempt) -> None:
    def of_adapter(number: int, digest: str) -> JobConfig:
        return replace(attempt(number), inputs={"tune": {"artifact": {"uri": "x", "digest": digest}}})

    killed_at(5, of_adapter(1, "sha256:1"))
    backend = Backend()
    list(kept_answers.kept(backend, "rows", of_adapter(2, "sha256:2"))(REQUESTS))
    assert backend.asked == list(range(10))
