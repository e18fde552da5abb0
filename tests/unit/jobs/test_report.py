"""The report: its schema, its size, and that a reader never sees half of it."""

from __future__ import annotations

import json
import math
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow_jobs import report as report_module
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import MAX_BYTES, FileSink, Report, encode, open_sink, run, to_job_error

NUMBERS = {"type": "object", "additionalProperties": {"type": ["number", "null"]}, "required": ["value"]}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "schemaVersion", "workflow", "stage", "revision", "attempt", "state", "updatedAt", "progress",
        "metrics", "artifact", "resolved", "verification", "error",
    ],
    "properties": {
        "schemaVersion": {"const": 1},
        "workflow": {"type": "string"},
        "stage": {"type": "string"},
        "revision": {"type": "string"},
        "attempt": {"type": "integer"},
        "state": {"enum": ["Running", "Succeeded", "Failed"]},
        "updatedAt": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "progress": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["percent", "etaSeconds", "message"],
            "properties": {
                "percent": {"type": "number", "minimum": 0, "maximum": 100},
                "etaSeconds": {"type": ["integer", "null"]},
                "message": {"type": "string", "maxLength": 1024},
            },
        },
        "metrics": {"type": "object", "additionalProperties": NUMBERS},
        "artifact": {"type": ["object", "null"], "required": ["uri", "digest", "type"]},
        "resolved": {"type": "object", "additionalProperties": {"type": "string"}},
        "verification": {"type": ["object", "null"]},
        "error": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["reason", "message", "retryable", "artifact"],
            "properties": {
                "reason": {"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
                "message": {"type": "string", "maxLength": 1024},
                "retryable": {"type": "boolean"},
                "artifact": {"type": ["string", "null"]},
            },
        },
    },
}  # fmt: skip
ARTIFACT = {"uri": "file:///a", "digest": "sha256:0", "type": "adapter"}


@pytest.mark.parametrize(
    "act",
    [
        lambda report: report.progress(3, 10, "step 3/10"),
        lambda report: report.metrics({"loss": 0.5, "exactMatch": {"value": 0.9, "low": 0.8, "n": 200}}),
        lambda report: report.verification({"passed": True, "message": "x" * 5000}),
        lambda report: report.succeed(ARTIFACT),
        lambda report: report.succeed(None),
        lambda report: report.fail(JobError("DataInvalid", "x" * 5000)),
    ],
)
def test_every_report_has_the_schema(report: Report, sink: Any, act: Callable[[Report], None]) -> None:
    report.resolved("volume:train.jsonl", "sha256:1")
    act(report)
    jsonschema.validate(sink.written[-1], SCHEMA)
    assert sink.written[-1]["resolved"] == {"volume:train.jsonl": "sha256:1"}


def test_outcome_keeps_what_was_reported_before(report: Report, sink: Any) -> None:
    report.metrics({"loss": 2.0})
    report.metrics({"loss": 1.0, "steps": 10})
    report.succeed(ARTIFACT)
    assert sink.written[-1]["state"] == "Succeeded"
    assert sink.written[-1]["metrics"] == {"loss": {"value": 1.0}, "steps": {"value": 10}}
    assert sink.written[-1]["artifact"] == ARTIFACT


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_json_lacks_is_null(report: Report, sink: Any, value: float) -> None:
    report.metrics({"loss": value, "score": {"value": value, "n": 3}})
    assert sink.written[-1]["metrics"] == {"loss": {"value": None}, "score": {"value": None, "n": 3}}


def test_too_many_metrics_are_refused(report: Report) -> None:
    with pytest.raises(JobError, match="33 metrics, a stage may have 32"):
        report.metrics({f"metric{n}": n for n in range(33)})


@given(st.dictionaries(st.text(min_size=1, max_size=300), st.text(max_size=80), max_size=400))
def test_document_fits_whatever_was_resolved(resolved: dict[str, str]) -> None:
    text = encode({"state": "Succeeded", "resolved": resolved})
    assert len(text.encode()) <= MAX_BYTES
    assert json.loads(text)["resolved"] in (resolved, {})


def test_inputs_are_left_out_only_when_they_do_not_fit() -> None:
    assert json.loads(encode({"resolved": {"a": "x" * 1000}}))["resolved"]
    assert json.loads(encode({"resolved": {"a": "x" * MAX_BYTES}}))["resolved"] == {}


def test_reader_never_sees_half_a_report(fine_tune: Callable[..., JobConfig], tmp_path: Path) -> None:
    path = tmp_path / "sub" / "report.json"
    report = Report(fine_tune(), FileSink(str(path)))
    report.progress(0, 1, "begins")

    def write() -> None:
        for n in range(60):
            report.progress(n, 60, "x" * (n * 16))
        report.succeed(ARTIFACT)

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while writer.is_alive() or not reads:
        jsonschema.validate(json.loads(path.read_text()), SCHEMA)
        reads += 1
    writer.join()
    assert json.loads(path.read_text())["state"] == "Succeeded"
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]


def test_report_travels_to_another_process(fine_tune: Callable[..., JobConfig], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = Report(fine_tune(), FileSink(str(path)))
    report.resolved("volume:train.jsonl", "sha256:1")
    pickle.loads(pickle.dumps(report)).progress(1, 2, "half")
    assert json.loads(path.read_text())["resolved"] == {"volume:train.jsonl": "sha256:1"}


@pytest.mark.parametrize("uri", [None, "", "report.json", "configmap://default"])
def test_sink_of_no_known_scheme_is_refused(uri: str | None) -> None:
    with pytest.raises(JobError, match="LLMWORKFLOW_REPORT"):
        open_sink(uri)


def test_sink_path_is_unquoted(tmp_path: Path) -> None:
    path = tmp_path / "with space" / "report.json"
    open_sink(path.as_uri()).write("{}")
    assert path.read_text() == "{}"


class OutOfMemoryError(Exception):
    """Of the name that torch's has."""


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (JobError("DataEmpty", "no rows"), "DataEmpty", False),
        (OSError(28, "No space left on device"), "StorageError", True),
        (OutOfMemoryError("CUDA out of memory"), "OutOfMemory", False),
        (ZeroDivisionError("division by zero\nmore"), "InternalError", True),
    ],
)
def test_exceptions_become_reasons(error: Exception, reason: str, retryable: bool) -> None:
    failure = to_job_error(error)
    assert (failure.reason, failure.retryable) == (reason, retryable)
    assert "\n" not in failure.message


@pytest.mark.parametrize(
    ("error", "state", "reason", "code"),
    [
        (None, "Succeeded", None, 0),
        (JobError("DataEmpty", "no rows"), "Failed", "DataEmpty", 1),
        (KeyError("x"), "Failed", "InternalError", 1),
    ],
)
def test_run_reports_and_exits(
    fine_tune: Callable[..., JobConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    state: str,
    reason: str | None,
    code: int,
) -> None:
    path = tmp_path / "report.json"
    monkeypatch.setenv("LLMWORKFLOW_REPORT", path.as_uri())
    monkeypatch.setattr(report_module, "load", fine_tune)

    def main(config: JobConfig, report: Report) -> None:
        if error:
            raise error
        report.succeed(None)

    try:
        run(main)
        exited = 0
    except SystemExit as caught:
        exited = int(caught.code or 0)
    written = json.loads(path.read_text())
    assert (written["state"], exited) == (state, code)
    assert (written["error"] or {}).get("reason") == reason
