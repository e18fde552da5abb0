"""Whether rows that are scored were trained on: a fine-tuning leaves digests of its rows, and batches look them up."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import Message, RowError, messages_of, response_of
from llmworkflow_jobs.rows import Request

# In the artifact of a fine-tuning: columns `prompt` and `target`, a row for each row that was trained on.
FILE = "trained-on.parquet"
_SCHEMA = pa.schema([("prompt", pa.string()), ("target", pa.string())])

logger = logging.getLogger(__name__)


def write(rows: Iterable[Row], config: JobConfig) -> None:
    """Write the digests of the rows to train on, and of those that an earlier stage trained on, into this attempt."""
    own = pa.Table.from_pylist([_digests(row, config.prompt) for row in rows], schema=_SCHEMA)
    table = pa.concat_tables([own, *_known(config)])
    filesystem, path = storage.open_uri(f"{config.output_uri}/{FILE}", config)
    filesystem.create_dir(path.removesuffix(f"/{FILE}"), recursive=True)
    with filesystem.open_output_stream(path) as stream:
        parquet.write_table(table, stream)


def check(requests: Sequence[Request], config: JobConfig, on_overlap: str) -> dict[str, int]:
    """How many rows have a prompt, and how many a target, that one of the tuned models was trained on.

    Texts are the same if they are so but for case and white space. Prompts raise DataOverlap unless `on_overlap` is
    "continue"; targets are only told, as rows may well have the same answer. Empty where nothing is known.
    """
    trained = [(_texts(table, "prompt"), _texts(table, "target")) for table in _known(config)]
    if not trained:
        return {}
    asked = [request for request in requests if request.error is None]
    prompts = [
        request for request in asked if any(_of_prompt(request.messages) in seen for seen, _ in trained)
    ]
    targets = sum(any(_of_target(request.reference) in seen for _, seen in trained) for request in asked)
    if prompts and on_overlap == "fail":
        raise JobError(
            "DataOverlap",
            f"the prompts of {len(prompts)} of {len(asked)} rows were trained on, the first in row "
            f"{prompts[0].row_id}: a score over them says little about new ones; take them out of the training data "
            "or of input, or set evaluate.onOverlap: continue",
        )
    if prompts or targets:
        logger.warning(
            "of %d rows, %d have a prompt and %d a target that was trained on",
            len(asked),
            len(prompts),
            targets,
        )
    return {"promptsTrainedOn": len(prompts), "targetsTrainedOn": targets}


def _known(config: JobConfig) -> list[pa.Table]:
    """Digests of prompts and targets, of each earlier stage that left some."""
    tables = (_trained_on(told, config) for told in config.inputs.values())
    return [table for table in tables if table is not None]


def _trained_on(told: Mapping[str, Any], config: JobConfig) -> pa.Table | None:
    if told["kind"] != "fineTune" or told["artifact"] is None:
        return None
    manifest = storage.read_manifest(told["artifact"], config)
    if all(file["path"] != FILE for file in manifest["files"]):
        logger.info("stage %s left no digests of its rows", manifest["stage"])
        return None
    filesystem, path = storage.open_uri(f"{told['artifact']['uri']}/{FILE}", config)
    with filesystem.open_input_file(path) as stream:
        return parquet.read_table(stream)


def _texts(table: pa.Table, column: str) -> set[str]:
    return set(table[column].drop_null().to_pylist())


def _digests(row: Row, prompt: Mapping[str, Any]) -> dict[str, str | None]:
    messages, response = _read(messages_of, row, prompt), _read(response_of, row, prompt)
    return {"prompt": messages and _of_prompt(messages), "target": _of_target(response)}


def _read(part: Callable[[Row, Mapping[str, Any]], Any], row: Row, prompt: Mapping[str, Any]) -> Any:
    try:
        return part(row, prompt)
    except RowError:  # of an objective that needs none: plain text has no prompt either
        return None


def _of_prompt(messages: Sequence[Message]) -> str:
    return _digest(json.dumps([[message["role"], _plain(message["content"])] for message in messages]))


def _of_target(text: str | None) -> str | None:
    return None if text is None else _digest(_plain(text))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _digest(text: str) -> str:
    """16 hexadecimal digits, enough to tell millions of texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
