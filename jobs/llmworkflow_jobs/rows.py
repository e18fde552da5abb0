"""The rows of a batch: which ones are taken, what is asked of the model for each, and what is written about it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jinja2
import pyarrow as pa
from pyarrow import fs, parquet

from llmworkflow_jobs.data import Row
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import Message, RowError, check_row, messages_of, response_of

# From the messages of a prompt to its token ids. Raises RowError.
Encode = Callable[[list[Message]], list[int]]
# As `map`, which it is unless the work is shared by several processes.
Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

# What a row of the result says beside the columns that are kept. The id has the type that it has in the data.
_RESULT_TYPES = {
    "reference": pa.string(),
    "generated_text": pa.string(),
    "generated_token_ids": pa.list_(pa.int64()),
    "num_input_tokens": pa.int64(),
    "num_generated_tokens": pa.int64(),
    "latency_seconds": pa.float64(),
    "truncated": pa.bool_(),
    "error": pa.string(),
}
RESULT_COLUMNS = ("row_id", *_RESULT_TYPES)
# Where the rows lie in an artifact.
FOLDER = "rows"
# Before the name of a metric: the column with what a row got by it.
SCORE = "score_"
_NOT_KEPT = "set output.format: jsonl, or leave it out of output.keep"


@dataclass(frozen=True)
class Request:
    """What is asked for one row, and of which adapter if rows name one.

    `error` says why it cannot be asked; it then has no messages and no token ids. `sampling` are the row's own sampling
    parameters, in vLLM's names; they go over those of the batch. An `image` is the file that an engine is shown.
    """

    row_id: str | int
    row: Row
    messages: list[Message]
    token_ids: list[int]
    reference: str | None = None
    error: str | None = None
    adapter: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    image: bytes | None = None

    def failed(self, error: str) -> Request:
        """The request as one that cannot be asked."""
        return replace(self, messages=[], token_ids=[], error=error)


@dataclass(frozen=True)
class Answer:
    """What was made of one request: text, token ids and the seconds it took, or an error.

    `turns` are the answers to the earlier turns of a conversation. An endpoint tells no token ids, but counts the
    tokens of prompt and answer, and says whether the answer was cut. `values` are a vector, or the probabilities of
    classes, for tasks that write no text.
    """

    text: str
    token_ids: list[int]
    seconds: float
    error: str | None = None
    turns: list[Answer] = field(default_factory=list)
    input_tokens: int | None = None
    output_tokens: int | None = None
    truncated: bool | None = None
    values: list[float] = field(default_factory=list)

    def counted(self) -> int:
        """Tokens of the answer, and of those to earlier turns."""
        own = len(self.token_ids) if self.output_tokens is None else self.output_tokens
        return own + sum(answer.counted() for answer in self.turns)

    def was_cut(self, max_tokens: int) -> bool:
        """Whether the answer ended at a limit.

        Where vLLM's reason to stop is not told, as by ray.data.llm, that is `max_tokens` alone: the end of the
        model's context does not show.
        """
        return len(self.token_ids) >= max_tokens if self.truncated is None else self.truncated


# What only some batches tell of an answer.
EARLIER_ANSWERS, EMBEDDING, PROBABILITIES = "earlier_answers", "embedding", "probabilities"
_ALSO: dict[str, tuple[pa.DataType, Callable[[Answer], Any]]] = {
    EMBEDDING: (pa.list_(pa.float32()), lambda answer: answer.values or None),
    PROBABILITIES: (pa.list_(pa.float64()), lambda answer: answer.values or None),
    EARLIER_ANSWERS: (pa.list_(pa.string()), lambda answer: [turn.text for turn in answer.turns]),
}


def select(rows: Sequence[Row], spec: Mapping[str, Any]) -> list[tuple[str | int, Row]]:
    """(id, row) of the rows that a batch's `input` section takes, in the order of the data.

    With `limit`, that many rows are drawn with `seed`. The id is the value of `idColumn`, or the position in the data.
    """
    taken: Sequence[int] = range(len(rows))
    limit = spec["limit"]
    if limit is not None and limit < len(rows):
        taken = sorted(random.Random(spec["seed"]).sample(taken, limit))
    if spec["idColumn"] is None:
        return [(index, rows[index]) for index in taken]
    return _by_column(rows, taken, spec["idColumn"])


def kept_columns(
    rows: Iterable[Row], keep: Sequence[str] | None, metrics: Iterable[str] = (), also: Iterable[str] = ()
) -> list[str]:
    """Columns of the input that the result has: those of `output.keep`, or all in the order in which they appear.

    The result has a column for each of `metrics` too, and what this batch has `also` to tell. Raises ColumnMissing for
    one that no row has, and OptionInvalid for one with the name of a column of the result.
    """
    present = list(dict.fromkeys(name for row in rows for name in row))
    columns = present if keep is None else list(keep)
    taken = {*RESULT_COLUMNS, *also, *(f"{SCORE}{metric}" for metric in metrics)}
    for name in columns:
        if name in taken:
            raise JobError(
                "OptionInvalid",
                f"column {name} of the input is also one of the result; rename it, or leave it out of output.keep",
            )
        if name not in present:
            raise JobError("ColumnMissing", f"output.keep names {name}, the input has {', '.join(present)}")
    return columns


def ask(
    chosen: Iterable[tuple[str | int, Row]],
    prompt: Mapping[str, Any],
    encode: Encode,
    with_reference: bool,
    source: str,
    each: Each = map,
    look: Callable[[Row], bytes] | None = None,
) -> list[Request]:
    """The request of each row, with its reference if it has one; a row that does not fit the prompt gets an error.

    `encode` makes token ids of the messages, or none for what reads the messages themselves; `look` finds the image of
    a row that has one.

    If none fits, or none has a reference where they are needed, the columns are wrong rather than the rows: the first
    row's problem is raised, as ColumnMissing or DataInvalid, with the `source` of the rows.
    """
    requests: list[Request] = list(each(partial(_request, prompt=prompt, encode=encode, look=look), chosen))
    usable = [request for request in requests if request.error is None]
    if not usable or (with_reference and all(request.reference is None for request in usable)):
        _raise_problem(requests[0], prompt, with_reference, source)
    return requests


def check_kept(requests: Sequence[Request], columns: Sequence[str], format: str) -> None:
    """Raise DataInvalid if the kept columns cannot be written: that is found out before rows are answered."""
    if format != "parquet":
        return
    kept = [{"row_id": one.row_id, **{name: one.row.get(name) for name in columns}} for one in requests]
    try:
        parquet.write_table(_table(kept).slice(0, 0), pa.BufferOutputStream())
    except pa.ArrowNotImplementedError as error:
        raise JobError("DataInvalid", f"a kept column does not fit Parquet ({error}); {_NOT_KEPT}") from error


def check_errors(requests: Sequence[Request], on_row_error: str) -> None:
    """Raise DataInvalid for the first request with an error, if none may have one or if all do."""
    wrong = [request for request in requests if request.error]
    if wrong and (on_row_error == "fail" or len(wrong) == len(requests)):
        raise JobError("DataInvalid", f"row {wrong[0].row_id}: {wrong[0].error}")


def result(
    request: Request,
    answer: Answer | None,
    columns: Iterable[str],
    max_tokens: int,
    also: Iterable[str] = (),
) -> Row:
    """The row to be written: `columns` of the input, then those of the result, with what there is `also` to tell.

    No answer means that it was never asked.
    """
    error = request.error or (answer.error if answer else "the engine gave no answer")
    done = None if error else answer
    told = answer.input_tokens if answer else None
    return {
        **{name: request.row.get(name) for name in columns},
        "row_id": request.row_id,
        "reference": request.reference,
        **{name: _ALSO[name][1](answer) if answer else None for name in also},
        "generated_text": done.text if done else None,
        "generated_token_ids": done.token_ids if done else None,
        "num_input_tokens": len(request.token_ids) if told is None else told,
        "num_generated_tokens": done.counted() if done else 0,
        "latency_seconds": done.seconds if done else None,
        "truncated": done is not None and done.was_cut(max_tokens),
        "error": error,
    }


def of_result(column: str, scores: Collection[str]) -> bool:
    """Whether a column of a result is none of the input; `scores` are the metrics of that result."""
    return column in RESULT_COLUMNS or column in _ALSO or column in {f"{SCORE}{name}" for name in scores}


def answer_of(row: Row) -> Any:
    """What a row of a result holds as its answer."""
    return row["generated_text"]


def write(rows: Sequence[Row], format: str, filesystem: fs.FileSystem, folder: str) -> None:
    """Write the rows as one file in `folder`; format is parquet or jsonl."""
    filesystem.create_dir(folder, recursive=True)
    with filesystem.open_output_stream(f"{folder}/part-00000.{format}") as stream:
        if format == "parquet":
            parquet.write_table(_table(rows), stream)
        else:
            for row in rows:
                stream.write(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")


def read(filesystem: fs.FileSystem, folder: str) -> list[Row]:
    """The rows that `write` wrote."""
    rows: list[Row] = []
    for info in filesystem.get_file_info(fs.FileSelector(folder)):
        with filesystem.open_input_file(info.path) as stream:
            if info.extension == "parquet":
                rows.extend(parquet.read_table(stream).to_pylist())
            else:
                rows.extend(json.loads(line) for line in stream.read().split(b"\n") if line)
    return rows


def _by_column(rows: Sequence[Row], taken: Iterable[int], column: str) -> list[tuple[str | int, Row]]:
    first: dict[str | int, int] = {}
    for index in taken:
        row_id = rows[index].get(column)
        if not isinstance(row_id, str | int):
            raise JobError(
                "DataInvalid",
                f"row {index + 1}: idColumn {column} is {row_id!r}, which is neither text nor number",
            )
        if row_id in first:
            raise JobError(
                "DataInvalid",
                f"rows {first[row_id] + 1} and {index + 1} have the same {column}, {row_id!r}; ids are unique",
            )
        first[row_id] = index
    return [(row_id, rows[index]) for row_id, index in first.items()]


def _request(
    chosen: tuple[str | int, Row],
    prompt: Mapping[str, Any],
    encode: Encode,
    look: Callable[[Row], bytes] | None,
) -> Request:
    row_id, row = chosen
    try:
        messages = messages_of(row, prompt)
        token_ids = encode(messages)
        image = look(row) if look else None
    except (RowError, jinja2.TemplateError) as error:  # the second comes from the model's own chat template
        return Request(row_id, row, [], [], error=str(error))
    return Request(row_id, row, messages, token_ids, _reference(row, prompt), image=image)


def _reference(row: Row, prompt: Mapping[str, Any]) -> str | None:
    try:
        return response_of(row, prompt)
    except RowError:
        return None


def _raise_problem(request: Request, prompt: Mapping[str, Any], with_reference: bool, source: str) -> None:
    where = f"{source}, row {request.row_id}"
    try:
        check_row(request.row, prompt, response=with_reference)
    except RowError as error:
        reason = "ColumnMissing" if error.missing else "DataInvalid"
        raise JobError(reason, f"{where}, {error}; name the data's columns in prompt.columns") from error
    raise JobError("DataInvalid", f"{where} does not fit the model's chat template: {request.error}")


def _table(rows: Sequence[Row]) -> pa.Table:
    try:
        found = pa.Table.from_pylist(rows).schema
        schema = pa.schema([field.with_type(_type(field)) for field in found])
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise JobError(
            "DataInvalid", f"a kept column has values that have no type in common ({error}); {_NOT_KEPT}"
        ) from error


def _type(field: pa.Field) -> pa.DataType:
    """The type of a column that may hold nothing at all: of rows that all failed, or of a metric that did."""
    if field.name.startswith(SCORE) and pa.types.is_null(field.type):
        return pa.float64()
    if field.name in _ALSO and pa.types.is_null(field.type):
        return _ALSO[field.name][0]
    return _RESULT_TYPES.get(field.name, field.type)
