"""Rows from files, and errors that say where in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from llmworkflow_jobs import web
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import read_rows
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import RowError
from llmworkflow_jobs.report import Report

ROWS = [{"instruction": "Näme", "output": "1"}, {"instruction": "b, c\nd", "output": "2"}]
Config = Callable[..., JobConfig]


def source(name: str, format: str | None = None) -> list[dict[str, Any]]:
    return [{"uri": f"volume:{name}", "format": format, "dataset": None}]


def as_jsonl(rows: list[Any]) -> bytes:
    return "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def as_csv(_: list[Any]) -> bytes:
    return '\ufeffinstruction,output\r\nNäme,1\r\n"b, c\nd",2\r\n'.encode()


def as_parquet(rows: list[Any]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.capability("formats")
@pytest.mark.parametrize(
    ("name", "format", "write"),
    [
        ("a.jsonl", None, as_jsonl),
        ("a.json", None, lambda rows: json.dumps(rows).encode()),
        ("a.json", "jsonl", as_jsonl),
        ("a.data", "csv", as_csv),
        ("a.CSV", None, as_csv),
        ("a.parquet", None, as_parquet),
    ],
)
def test_formats_give_the_same_rows(
    fine_tune: Config, report: Report, tmp_path: Path, name: str, format: str | None, write: Any
) -> None:
    content = write(ROWS)
    (tmp_path / name).write_bytes(content)
    assert read_rows(source(name, format), fine_tune(), report) == ROWS
    assert report.digests == {f"volume:{name}": f"sha256:{hashlib.sha256(content).hexdigest()}"}


@pytest.mark.capability("formats")
def test_folder_stands_for_its_files_by_name(fine_tune: Config, report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, row in (("b.jsonl", ROWS[1]), ("a.jsonl", ROWS[0]), (".hidden.jsonl", {})):
        (folder / name).write_bytes(as_jsonl([row]))
    assert read_rows(source("rows"), fine_tune(), report) == ROWS
    first = dict(report.digests)
    (folder / "b.jsonl").rename(folder / "c.jsonl")
    read_rows(source("rows"), fine_tune(), report)
    assert report.digests != first


def test_sources_follow_one_another(fine_tune: Config, report: Report, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(as_jsonl(ROWS[:1]))
    (tmp_path / "b.jsonl").write_bytes(as_jsonl(ROWS[1:]))
    assert read_rows(source("a.jsonl") + source("b.jsonl"), fine_tune(), report) == ROWS


def check(row: Mapping[str, Any]) -> None:
    if "output" not in row:
        raise RowError("output", "there is no such column", missing=True)
    if not isinstance(row["output"], str):
        raise RowError("output", "expected a text")


@pytest.mark.parametrize(
    ("name", "content", "reason", "message"),
    [
        ("a.jsonl", None, "FileNotFound", "volume:a.jsonl does not exist"),
        ("a.jsonl", b"", "DataEmpty", "volume:a.jsonl holds no rows"),
        ("a.jsonl", b"\n \n", "DataEmpty", "volume:a.jsonl holds no rows"),
        ("a.json", b"[]", "DataEmpty", "volume:a.json holds no rows"),
        ("a.jsonl", b'{"output": "1"}\n\n{"output": "2"\n', "DataInvalid", r"a\.jsonl, line 3, column 15: not JSON"),
        ("a.jsonl", b'{"output": "1"}\n[1]\n', "DataInvalid", r"a\.jsonl, line 2: expected an object, found list"),
        ("a.jsonl", b'{"output": "1"}\n{"out": "2"}\n', "ColumnMissing", "line 2, column output: .*prompt.columns"),
        ("a.jsonl", b'{"output": "1"}\n{"output": 2}\n', "DataInvalid", "line 2, column output: expected a text"),
        ("a.jsonl", b'{"output": "1"}\n{"output": "\xff"}\n', "DataInvalid", r"a\.jsonl, line 2, column 13: not UTF-8"),
        ("a.jsonl", b'{"output": "1"}\n{"output": "a\\ud83d"}', "DataInvalid", r"a\.jsonl, line 2: not JSON .* half"),
        ("a.json", b'[{"output": "1"},\n {"output": }]', "DataInvalid", r"a\.json, line 2, column 13: not JSON"),
        ("a.json", b'{"output": "1"}', "DataInvalid", r"a\.json: expected a list of objects; set format: jsonl"),
        ("a.json", b'[{"output": "1"}, 3]', "DataInvalid", r"a\.json, row 2: expected an object, found int"),
        ("a.csv", b"output,b\n1,2\n3\n", "DataInvalid", r"a\.csv, line 3: the number of fields"),
        ("a.csv", b"output,b\n1,2,3\n", "DataInvalid", r"a\.csv, line 2: the number of fields"),
        ("a.csv", b'output\n1\n"2', "DataInvalid", r"a\.csv, line 2: not CSV"),
        ("a.parquet", b"PAR1", "DataInvalid", r"a\.parquet: not Parquet"),
        ("a.bin", b"x", "DataInvalid", r"a\.bin: format None is not one of jsonl, json, csv, parquet, text"),
        ("a.txt", b"\n", "DataEmpty", "volume:a.txt holds no rows"),
    ],
)  # fmt: skip
def test_errors_say_where(
    fine_tune: Config, report: Report, tmp_path: Path,
    name: str, content: bytes | None, reason: str, message: str,
) -> None:  # fmt: skip
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(JobError, match=message) as caught:
        read_rows(source(name), fine_tune(), report, check)
    assert caught.value.reason == reason


def test_empty_folder_is_said_to_be_one(fine_tune: Config, report: Report, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    with pytest.raises(JobError, match="volume:rows is a folder without files"):
        read_rows(source("rows"), fine_tune(), report)


def test_changed_input_is_refused(fine_tune: Config, report: Report, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(as_jsonl(ROWS))
    read_rows(source("a.jsonl"), fine_tune(), report)
    pinned = fine_tune(pinned=report.digests)
    assert read_rows(source("a.jsonl"), pinned, report) == ROWS
    (tmp_path / "a.jsonl").write_bytes(as_jsonl(ROWS[:1]))
    with pytest.raises(
        JobError, match=r"volume:a\.jsonl has changed .* it was sha256:.*inputs: recheck"
    ) as caught:
        read_rows(source("a.jsonl"), pinned, report)
    assert caught.value.reason == "InputChanged"


@pytest.mark.capability("formats")
@pytest.mark.parametrize(("name", "format"), [("a.txt", None), ("a.md", "text")])
def test_lines_of_a_text_are_rows(
    fine_tune: Config, report: Report, tmp_path: Path, name: str, format: str | None
) -> None:
    (tmp_path / name).write_bytes("What is it?\r\n\n  Näme\u2028\x0cit.".encode())
    rows = read_rows(source(name, format), fine_tune(), report)
    assert rows == [{"text": "What is it?"}, {"text": "  Näme\u2028\x0cit."}]


def test_a_field_may_be_a_whole_document(fine_tune: Config, report: Report, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"text\n{'x' * 200_000}\n")
    assert len(read_rows(source("a.csv", None), fine_tune(), report)[0]["text"]) == 200_000


def test_what_an_address_of_the_web_hides_is_not_told(fine_tune: Config, report: Report) -> None:
    address = "https://me:s3cret@host/x.jsonl?Signature=abc"
    assert web.shown(address) == "https://host/x.jsonl"
    assert web.shown("s3://bucket/x?y") == "s3://bucket/x?y"
