"""Rows that no file holds: written out in the resource, or answered by an earlier batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import batch_input, config, report, rows, storage
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import RowError
from llmworkflow_jobs.rows import Answer, Request

Document = Callable[..., dict[str, Any]]
ITEMS = [{"topic": "autumn"}, {"topic": "the sea"}]


def read(document: dict[str, Any], check: Any = None) -> batch_input.Input:
    job = config.parse(document)
    sink = report.FileSink(f"{job.storage['uri'].removeprefix('file://')}/report.json")
    return batch_input.read(job, report.Report(job, sink), check)


def of_items(stage_config: Document, items: list[dict[str, Any]]) -> dict[str, Any]:
    return stage_config("batch", input={"uri": None, "items": items})


@pytest.mark.capability("sources")
def test_items_are_rows(stage_config: Document) -> None:
    found = read(of_items(stage_config, ITEMS))
    assert found.rows == ITEMS
    other = read(of_items(stage_config, [{"topic": "the sea"}]))
    assert found.digests != other.digests  # scores over other rows cannot be compared


def test_a_bad_item_is_told_by_its_place(stage_config: Document) -> None:
    def check(row: Any) -> None:
        if row["topic"] != "autumn":
            raise RowError("topic", "is wet")

    with pytest.raises(JobError, match=r"input.items\[1\], column topic: is wet"):
        read(of_items(stage_config, ITEMS), check)


@pytest.fixture
def drafted(tmp_path: Path, stage_config: Document) -> dict[str, Any]:
    """The configuration of a batch whose input are the rows of stage draft, of which the second failed."""
    job = config.parse(stage_config("batch", stage={"name": "draft"}))
    also = [rows.EARLIER_ANSWERS]
    results = [
        rows.result(Request(0, ITEMS[0], [], [1]), Answer("leaves fall", [5], 0.1), ["topic"], 16, also),
        rows.result(Request(1, ITEMS[1], [], [1]), Answer("", [], -1.0, "too long"), ["topic"], 16, also),
    ]
    results = [{**row, "score_jsonValid": 0.0, "score_human": 5} for row in results]
    rows.write(results, "jsonl", *storage.open_uri(f"{job.output_uri}/{rows.FOLDER}", job))
    artifact = storage.publish(job, "rows", [rows.FOLDER], {"metrics": {"jsonValid": {"value": 0.0}}})
    inputs = {"draft": {"kind": "batch", "revision": "0123456789ab", "attempt": 1, "artifact": artifact}}
    return stage_config("batch", input={"uri": None, "stage": "draft"}, inputs=inputs)


def test_rows_of_an_earlier_batch_come_with_its_answers(drafted: dict[str, Any]) -> None:
    found = read(drafted)
    assert found.rows == [
        {"topic": "autumn", "score_human": 5, "draft": "leaves fall", "draft_error": None},
        {"topic": "the sea", "score_human": 5, "draft": None, "draft_error": "too long"},
    ]
    assert found.source == "stage draft"
    manifest = drafted["inputs"]["draft"]["artifact"]["digest"]
    assert found.digests.keys() == {"stage draft"}
    assert found.digests["stage draft"] != manifest, "another attempt with the same answers is the same data"


def test_a_row_that_failed_before_is_not_asked(drafted: dict[str, Any]) -> None:
    requests = [Request(index, row, [], [1]) for index, row in enumerate(read(drafted).rows)]
    good, bad = batch_input.pass_on_errors(requests, "draft", "continue")
    assert (good.error, bad.error) == (None, "stage draft: too long")
    assert bad.token_ids == []
    with pytest.raises(JobError, match="row 1: stage draft: too long"):
        batch_input.pass_on_errors(requests, "draft", "fail")


def test_a_stage_that_left_nothing_has_to_run_again(stage_config: Document) -> None:
    with pytest.raises(JobError, match="stage draft") as caught:
        read(stage_config("batch", input={"uri": None, "stage": "draft"}))
    assert caught.value.reason == "ArtifactMissing"


def test_rows_that_were_changed_since_are_missing(drafted: dict[str, Any]) -> None:
    folder = Path(drafted["inputs"]["draft"]["artifact"]["uri"].removeprefix("file://"))
    part = folder / "rows" / "part-00000.jsonl"
    part.write_text(part.read_text().replace("leaves", "LEAVES"))
    with pytest.raises(JobError) as caught:
        read(drafted)
    assert caught.value.reason == "ArtifactMissing"


def test_the_answers_need_a_column_of_their_own(drafted: dict[str, Any]) -> None:
    drafted["inputs"]["topic"] = drafted["inputs"]["draft"]
    drafted["batch"]["input"]["stage"] = "topic"
    with pytest.raises(JobError, match="topic") as caught:
        read(drafted)
    assert caught.value.reason == "OptionInvalid"
