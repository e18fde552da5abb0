"""The rows that a batch answers: of files, written out in the resource, or with the answers of an earlier batch."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from llmworkflow_jobs import data, rows, storage, web
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.rows import Request

# After the name of the earlier stage: the column that says why a row of it has no answer.
_ERROR = "_error"


@dataclass(frozen=True)
class Input:
    """Rows, and `source` to name them by; `digests` are those of rows that are no data of their own address."""

    rows: list[Row]
    source: str
    digests: Mapping[str, str] = field(default_factory=dict)


def read(config: JobConfig, report: Report, check: data.Check | None = None) -> Input:
    """All rows of the batch's `input`. Raises what `data.read_rows` does, or ArtifactMissing."""
    spec = config.section["input"]
    if spec["items"] is not None:
        return _items(spec["items"], check)
    if spec["stage"] is not None:
        return _answered(spec["stage"], config, check)
    return Input(data.read_rows([spec], config, report, check), web.shown(spec["uri"]))


def pass_on_errors(requests: Sequence[Request], stage: str | None, on_row_error: str) -> list[Request]:
    """The requests, those without an answer of the earlier `stage` as ones that cannot be asked."""
    if stage is None:
        return list(requests)
    passed = [_passed_on(request, stage) for request in requests]
    rows.check_errors(passed, on_row_error)
    return passed


def _items(items: Sequence[Row], check: data.Check | None) -> Input:
    checked = [data.checked(dict(row), f"input.items[{index}]", check) for index, row in enumerate(items)]
    text = json.dumps(items, sort_keys=True)
    return Input(checked, "input.items", {"input.items": storage.text_digest(text)})


def _answered(stage: str, config: JobConfig, check: data.Check | None) -> Input:
    """The columns that an earlier batch kept, and its answers in a column of the stage's name."""
    artifact = config.inputs.get(stage, {}).get("artifact")
    if artifact is None:
        raise JobError("ArtifactMissing", f"stage {stage} has left no rows; it has to run again")
    scores = storage.read_whole(artifact, config).get("metrics", {})
    filesystem, folder = storage.open_uri(f"{artifact['uri']}/{rows.FOLDER}", config)
    found = [
        data.checked(_with_answer(row, stage, scores), f"row {row['row_id']} of stage {stage}", check)
        for row in rows.read(filesystem, folder)
    ]
    # Not that of the artifact, which another attempt with the same answers would not have.
    text = "\n".join(json.dumps(row, sort_keys=True, default=str) for row in found)
    return Input(found, f"stage {stage}", {f"stage {stage}": storage.text_digest(text)})


def _with_answer(row: Row, stage: str, scores: Collection[str]) -> Row:
    kept = {name: value for name, value in row.items() if not rows.of_result(name, scores)}
    if taken := {stage, f"{stage}{_ERROR}"} & set(kept):
        raise JobError(
            "OptionInvalid",
            f"the answers of stage {stage} come in a column of that name, and its rows have a column "
            f"{', '.join(taken)}; leave it out of that stage's output.keep",
        )
    return {**kept, stage: rows.answer_of(row), f"{stage}{_ERROR}": row["error"]}


def _passed_on(request: Request, stage: str) -> Request:
    error = request.row[f"{stage}{_ERROR}"]
    return request.failed(f"stage {stage}: {error}") if error else request
