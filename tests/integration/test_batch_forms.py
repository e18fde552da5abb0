"""Rows written out, forms of answers by row, and a batch over the answers of another, on the real engine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import vllm

from llmworkflow_jobs import config, row_sampling

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

LABELS = ["release", "year"]
SCHEMA = {"enum": ["what", "is"]}
CUSTOM = {"format": "custom", "custom": {"user": "{{ row.topic }}", "system": None, "response": None}}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "part-00000.jsonl").read_text().splitlines()]


def output_of(document: dict[str, Any]) -> Path:
    return Path(config.parse(document).output_uri.removeprefix("file://")) / "rows"


@pytest.fixture(scope="module")
def formed(
    inference_volume: Path, stage_document: Callable[..., Any], start_shared_job: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and report of a batch whose rows ask for forms of their own."""
    document = stage_document(
        "batch",
        inference_volume.as_uri(),
        stage={"name": "form"},
        prompt=CUSTOM,
        input={
            "uri": None,
            "items": [
                {"topic": "name"},
                {"topic": "year", "how": {"structured": {"regex": "[0-9]{4}"}}},
                {"topic": "what", "how": {"structured": {"jsonSchema": SCHEMA}}},
                {"topic": "of", "how": {"maxTokens": 1}},
            ],
        },
        sampling={"column": "how", "structured": {"choice": LABELS}},
        postprocess="{{ row.topic }}: {{ text }}",
        onRowError="fail",
    )
    document["batch"]["output"] |= {"keep": ["topic"], "uri": "volume:copies/form"}
    report = start_shared_job("batch", document).wait(timeout=300)
    assert report["state"] == "Succeeded", report
    return document, report


@pytest.mark.capability("sampling-by-row", "forms", "postprocess")
def test_answers_have_the_form_that_their_row_asks_for(formed: Any) -> None:
    choice, year, answer, cut = (row["generated_text"] for row in rows_of(output_of(formed[0])))
    assert choice.removeprefix("name: ") in LABELS
    assert year.removeprefix("year: ").isdigit()
    assert json.loads(answer.removeprefix("what: ")) in SCHEMA["enum"]
    assert cut.startswith("of: ")
    assert [row["truncated"] for row in rows_of(output_of(formed[0]))] == [False, False, False, True]


def test_the_rows_are_copied_to_the_further_place(inference_volume: Path, formed: Any) -> None:
    assert rows_of(inference_volume / "copies/form") == rows_of(output_of(formed[0]))


def test_what_rows_leave_unset_is_what_vllm_has() -> None:
    theirs = vllm.SamplingParams()
    for name, unset in row_sampling._UNSET.items():
        assert getattr(theirs, name) == unset, name


@pytest.fixture(scope="module")
def resumed(
    formed: Any, inference_volume: Path, stage_document: Callable[..., Any], start_shared_job: Any
) -> tuple[list[str], list[dict[str, Any]], dict[str, Any]]:
    """A conversation with the 4 answers of the batch before, killed at half and tried again.

    What its first attempt had kept, the rows that the second one published, and its report.
    """
    document, report = formed
    asks = {"user": "{{ row.form }}", "system": None, "response": None}
    again = stage_document(
        "batch",
        inference_volume.as_uri(),
        stage={"name": "again"},
        prompt=CUSTOM | {"custom": asks},
        inputs={"form": {**document["stage"], "artifact": report["artifact"]}},
        input={"uri": None, "stage": "form"},
        sampling={"maxTokens": 60, "extra": {"ignore_eos": True}},
        engineKwargs={"max_num_seqs": 1},  # so that some rows are done long before others
        batchSize=1,
        checkpoint=True,
        turns=["{{ row.topic }}"],
    )
    job = start_shared_job("batch", again)
    folder = output_of(again).parent / "answered"
    wait_for_answers(job, folder)
    job.process.kill()
    job.process.wait()
    known = [line for part in folder.rglob("*.jsonl") for line in part.read_text().splitlines()]
    again["stage"] |= {"attempt": 2}
    report = start_shared_job("batch", again).wait(timeout=300)
    assert report["state"] == "Succeeded", report
    assert not folder.exists()
    return known, rows_of(output_of(again)), report


def wait_for_answers(job: Any, folder: Path) -> None:
    deadline = time.monotonic() + 300
    while not list(folder.rglob("*.jsonl")):
        assert job.process.poll() is None, "the job ended before it kept any answer"
        assert time.monotonic() < deadline, "no answer was kept within 300 s"
        time.sleep(0.02)


@pytest.mark.capability("row-checkpoints")
def test_a_batch_killed_at_half_ends_with_every_row_once(resumed: Any) -> None:
    known, rows, _ = resumed
    assert 0 < len(known) < 8  # two turns of four rows
    assert [row["row_id"] for row in rows] == [0, 1, 2, 3]
    assert {row["error"] for row in rows} == {None}
    kept = [json.loads(line) for line in known]
    answered = [text for row in rows for text in (*row["earlier_answers"], row["generated_text"])]
    assert all(answer["text"] in answered for answer in kept)


@pytest.mark.capability("turns", "chains")
def test_rows_of_a_batch_are_read_with_its_answers(formed: Any, resumed: Any) -> None:
    before = [row["generated_text"] for row in rows_of(output_of(formed[0]))]
    assert [row["form"] for row in resumed[1]] == before
    assert all(len(row["earlier_answers"]) == 1 for row in resumed[1])
    assert [row["num_generated_tokens"] for row in resumed[1]] == [120] * 4
