"""Rows that are scored and were trained on are found, by what a fine-tuning leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs import overlap, storage
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import messages_of
from llmworkflow_jobs.rows import Request

Document = Callable[..., dict[str, Any]]

TRAINED = [
    {"instruction": "Say it.", "input": "The name of the Game", "output": "name"},
    {"instruction": "Say it.", "input": "its year", "output": "year"},
]


@pytest.fixture
def batch(stage_config: Document) -> JobConfig:
    """A batch with the adapter of a fine-tuning on TRAINED."""
    tune = parse(stage_config("fineTune", stage={"name": "tune"}))
    overlap.write(TRAINED, tune)
    artifact = storage.publish(tune, "adapter", [overlap.FILE], {})
    return parse(stage_config("batch", inputs={"tune": {"kind": "fineTune", "artifact": artifact}}))


def asked(text: str, target: str | None, job: JobConfig, error: str | None = None) -> Request:
    row = {"instruction": "Say it.", "input": text}
    return Request(7, row, messages_of(row, job.prompt), [], target, error)


@pytest.mark.capability("overlap")
@pytest.mark.parametrize("text", ["The name of the Game", " the NAME of\n the  game "])
def test_a_prompt_that_was_trained_on_ends_the_batch(batch: JobConfig, text: str) -> None:
    rows = [asked("new", "new", batch), asked(text, "other", batch), asked("bad", None, batch, error="bad")]
    with pytest.raises(
        JobError, match="prompts of 1 of 2 rows were trained on, the first in row 7"
    ) as caught:
        overlap.check(rows, batch, "fail")
    assert (caught.value.reason, "evaluate.onOverlap: continue" in caught.value.message) == (
        "DataOverlap",
        True,
    )
    assert overlap.check(rows, batch, "continue") == {"promptsTrainedOn": 1, "targetsTrainedOn": 0}


def test_targets_that_were_trained_on_are_counted(batch: JobConfig, caplog: pytest.LogCaptureFixture) -> None:
    rows = [asked("new", "Name", batch), asked("newer", " year", batch), asked("newest", None, batch)]
    with caplog.at_level(logging.WARNING):
        assert overlap.check(rows, batch, "fail") == {"promptsTrainedOn": 0, "targetsTrainedOn": 2}
    assert "of 3 rows, 0 have a prompt and 2 a target that was trained on" in caplog.text


def test_plain_text_has_no_prompts_to_look_up(stage_config: Document) -> None:
    tune = parse(stage_config("fineTune", stage={"name": "tune"}, objective="pretrain"))
    overlap.write([{"text": "The name of the Game is year."}], tune)
    artifact = storage.publish(tune, "adapter", [overlap.FILE], {})
    job = parse(stage_config("batch", inputs={"tune": {"kind": "fineTune", "artifact": artifact}}))
    found = overlap.check([asked("new", "Name", job)], job, "fail")
    assert found == {"promptsTrainedOn": 0, "targetsTrainedOn": 0}


def test_nothing_is_said_where_nothing_is_known(stage_config: Document) -> None:
    tune = parse(stage_config("fineTune", stage={"name": "tune"}))
    artifact = storage.publish(tune, "adapter", [], {})  # of an earlier version
    told = {"tune": {"kind": "fineTune", "artifact": artifact}, "first": {"kind": "batch", "artifact": None}}
    job = parse(stage_config("batch", inputs=told))
    assert overlap.check([asked("The name of the Game", "name", job)], job, "fail") == {}


def test_rows_of_the_training_before_are_known_too(batch: JobConfig, stage_config: Document) -> None:
    inputs = dict(batch.inputs)
    later = parse(stage_config("fineTune", stage={"name": "prefer"}, inputs=inputs))
    overlap.write([{"instruction": "Say it.", "input": "its genre", "output": "genre"}], later)
    made = storage.publish(later, "model", [overlap.FILE], {})
    job = parse(stage_config("batch", inputs={"prefer": {"kind": "fineTune", "artifact": made}}))
    rows = [asked(text, None, job) for text in ("its genre", "its year", "new")]
    assert overlap.check(rows, job, "continue")["promptsTrainedOn"] == 2
