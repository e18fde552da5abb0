"""Reading data rows: whole files in any of several formats, with errors that name file, line and column."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pyarrow import fs, parquet

from llmworkflow_jobs import dataset_info, hub, storage, web
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inline import address_of
from llmworkflow_jobs.prompt import RowError
from llmworkflow_jobs.report import Report

Row = dict[str, Any]
# Looks at one row and raises RowError if it is of no use.
Check = Callable[[Mapping[str, Any]], None]

_LONGEST_FIELD = 1 << 30  # bytes; Python's own limit would refuse documents
_FORMAT_OF_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
    ".txt": "text",
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp"), "images"),
}


def read_rows(
    sources: Sequence[Mapping[str, Any]], config: JobConfig, report: Report, check: Check | None = None
) -> list[Row]:
    """All rows of all sources {uri, format, dataset}, in order; a folder stands for the files in it, by name.

    Rows of an entry of a dataset_info.json come with the columns of the prompt.

    The digest of each source goes into the report and must be the pinned one, if there is one (InputChanged).
    Raises FileNotFound, DataInvalid (not parseable), DataEmpty, and what `check` finds: ColumnMissing or DataInvalid.
    """
    rows: list[Row] = []
    for source in sources:
        rows.extend(_read_source(source, config, report, check))
    return rows


def source_digest(source: Mapping[str, Any], config: JobConfig) -> str:
    """Digest of what a source holds now, as `read_rows` reports it. Raises FileNotFound."""
    if source.get("dataset"):
        return dataset_info.digest(source["uri"], config)
    return _digest(_read_files(source["uri"], config))


def _read_source(
    source: Mapping[str, Any], config: JobConfig, report: Report, check: Check | None
) -> list[Row]:
    uri = source["uri"]
    entry = dataset_info.find(uri, source["dataset"], config) if source.get("dataset") else None
    contents = _read_files(entry.uri if entry else uri, config)
    digest = dataset_info.digest(uri, config) if entry else _digest(contents)
    if config.pinned.get(uri, digest) != digest:
        raise JobError(
            "InputChanged",
            f"{web.shown(uri)} has changed since an earlier run of this revision: it was {config.pinned[uri]}, now "
            f"{digest}; put the file back, or set inputs: recheck to run with the new one",
        )
    report.resolved(uri, digest)
    rows = [
        row
        for path, content in contents.items()
        for row in _parse(path, content, source.get("format"), check, entry)
    ]
    if not rows:
        raise JobError("DataEmpty", f"{web.shown(entry.uri if entry else uri)} holds no rows")
    return rows


def _read_files(uri: str, config: JobConfig) -> dict[str, bytes]:
    """Contents of the files that `uri` stands for, by path."""
    if uri.startswith(web.SCHEMES):
        return {web.path(uri): web.fetch(uri)}
    if uri.startswith(hub.SCHEME):
        path = hub.dataset(uri, _FORMAT_OF_SUFFIX)
        # Whoever else uses its cache may have brought further files.
        suffixes = tuple(_FORMAT_OF_SUFFIX) if os.path.isdir(path) else ""
        return _contents(path, config, suffixes)
    return _contents(uri, config)


def _contents(uri: str, config: JobConfig, suffixes: str | tuple[str, ...] = "") -> dict[str, bytes]:
    filesystem, path = storage.open_uri(uri, config)
    files = [info for info in storage.list_files(filesystem, path) if info.path.lower().endswith(suffixes)]
    if not files:
        found = filesystem.get_file_info(path).type == fs.FileType.Directory
        raise JobError(
            "FileNotFound",
            f"{uri} {'is a folder without files' if found else 'does not exist'} (read as {path})",
        )
    contents = {}
    for info in files:
        with filesystem.open_input_stream(info.path) as stream:
            contents[info.path] = stream.read()
    return contents


def _digest(contents: Mapping[str, bytes]) -> str:
    """Digest of one file's content, or of the names and digests of several."""
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    if len(digests) == 1:
        return f"sha256:{next(iter(digests.values()))}"
    return storage.text_digest(
        "".join(f"{digest}  {posixpath.basename(path)}\n" for path, digest in digests.items())
    )


def _parse(
    path: str,
    content: bytes,
    format: str | None,
    check: Check | None,
    entry: dataset_info.Entry | None = None,
) -> list[Row]:
    name = format or _FORMAT_OF_SUFFIX.get(posixpath.splitext(path)[1].lower())
    if name not in _READERS:
        raise JobError(
            "DataInvalid",
            f"{path}: format {name!r} is not one of {', '.join(_READERS)}; set format, or give the file its suffix",
        )
    rows = []
    for place, row in _READERS[name](path, content):
        if not isinstance(row, dict):
            raise JobError("DataInvalid", f"{path}, {place}: expected an object, found {type(row).__name__}")
        rows.append(checked(row, f"{path}, {place}", check, entry))
    return rows


def checked(row: Row, where: str, check: Check | None, entry: dataset_info.Entry | None = None) -> Row:
    """The row in the columns of the prompt. Raises ColumnMissing or DataInvalid if `check` finds something."""
    try:
        row = entry.translate(row) if entry else row
        if check is not None:
            check(row)
    except RowError as error:
        columns = "dataset_info.json" if entry else "prompt.columns"
        remedy = f"; name the data's columns in {columns}" if error.missing else ""
        reason = "ColumnMissing" if error.missing else "DataInvalid"
        raise JobError(reason, f"{where}, {error}{remedy}") from error
    return row


# Each reader yields (place, value): the place as a person would look it up in the file.


def _read_jsonl(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(_decoded(path, content).split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", _loaded(line)
            except ValueError as error:
                raise _not_json(path, number, error) from error


def _read_json(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    try:
        rows = _loaded(_decoded(path, content))
    except ValueError as error:
        raise _not_json(path, 1, error) from error
    if not isinstance(rows, list):
        raise JobError(
            "DataInvalid", f"{path}: expected a list of objects; set format: jsonl if each line is one"
        )
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def _read_csv(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.DictReader(io.StringIO(_decoded(path, content), newline=""), strict=True)
    try:
        for row in reader:
            place = f"line {reader.line_num}"
            if None in row or None in row.values():
                raise JobError(
                    "DataInvalid", f"{path}, {place}: the number of fields is not that of the header"
                )
            yield place, row
    except csv.Error as error:
        raise JobError("DataInvalid", f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _read_parquet(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    try:
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    except (OSError, ValueError) as error:
        raise JobError("DataInvalid", f"{path}: not Parquet ({error})") from error
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def _read_text(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """Each line that is not blank is a row with one column, text."""
    for number, line in enumerate(_decoded(path, content).split("\n"), start=1):
        if line.strip():
            yield f"line {number}", {"text": line.removesuffix("\r")}


def _read_list(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """A JSON list, of which each text is a row with one column, text."""
    for place, item in _read_json(path, content):
        yield place, {"text": item} if isinstance(item, str) else item


def _read_image(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """The file is a row: its name in the column path, itself as an address in the column image."""
    yield "the file", {"path": posixpath.basename(path), "image": address_of(content, path)}


def _decoded(path: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise JobError("DataInvalid", f"{path}, line {line}, column {column}: not UTF-8") from error


def _loaded(text: str) -> Any:
    """What JSON says. Raises ValueError, also for half of a character, as of an emoji that was cut."""
    value = json.loads(text)
    if "\\ud" in text.lower():  # the escapes of halves; Unicode text has none, and no tokenizer takes them
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise ValueError(f"{half} is half of a character, as of one that was cut") from error
    return value


def _not_json(path: str, line: int, error: ValueError) -> JobError:
    """`line` is where the parsed text begins in the file."""
    if isinstance(error, json.JSONDecodeError):
        where = f"line {line + error.lineno - 1}, column {error.colno}"
        return JobError("DataInvalid", f"{path}, {where}: not JSON ({error.msg})")
    return JobError("DataInvalid", f"{path}, line {line}: not JSON ({error})")


_READERS: dict[str, Callable[[str, bytes], Iterator[tuple[str, Any]]]] = {
    "jsonl": _read_jsonl,
    "json": _read_json,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "text": _read_text,
    "list": _read_list,
    "images": _read_image,
}
