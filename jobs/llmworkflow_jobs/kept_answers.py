"""Answers that are kept as they come, so that a later attempt asks only for the others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from pyarrow import fs

from llmworkflow_jobs import storage
from llmworkflow_jobs.answers import Ask, askable, only
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.rows import Answer, Request

# In the folder of an attempt, until its rows are published.
FOLDER = "answered"

_SECONDS = 5.0


def kept(ask: Ask, name: str, config: JobConfig) -> Ask:
    """Asks only for what no attempt of this revision has an answer to, and keeps the answers that come.

    `name` tells the model that answers from others of the same batch. Failed rows are not kept, and what was answered
    by another attempt of what an earlier stage made counts for nothing.
    """
    made = {stage: (told.get("artifact") or {}).get("digest") for stage, told in config.inputs.items()}

    def resumed(requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        known = _read(name, config)
        keys = [_key(request, made) for request in requests]
        found = {index: known[keys[index]] for index in askable(requests) if keys[index] in known}
        yield from found.items()
        rest = set(askable(requests)) - set(found)
        if not rest:
            return
        parts = _Parts(name, config)
        try:
            for index, answer in ask(only(requests, rest)):
                if answer.error is None:
                    parts.add(keys[index], answer)
                yield index, answer
        finally:
            parts.write()

    return resumed


def remove(config: JobConfig) -> None:
    """Remove what all attempts of this revision have kept."""
    filesystem, _ = storage.open_uri(config.revision_uri, config)
    for folder in _folders(config):
        if filesystem.get_file_info(folder).type == fs.FileType.Directory:
            filesystem.delete_dir(folder)


def _read(name: str, config: JobConfig) -> dict[str, Answer]:
    filesystem, _ = storage.open_uri(config.revision_uri, config)
    found: dict[str, Answer] = {}
    for folder in _folders(config):
        for info in storage.list_files(filesystem, f"{folder}/{name}"):
            if info.extension == "jsonl":  # and no file that was being written
                found |= _read_part(filesystem, info.path)
    return found


def _read_part(filesystem: fs.FileSystem, path: str) -> dict[str, Answer]:
    with filesystem.open_input_stream(path) as stream:
        rows = [json.loads(line) for line in stream.read().split(b"\n") if line]
    return {row.pop("key"): Answer(**row) for row in rows}


def _folders(config: JobConfig) -> list[str]:
    """Where the attempts of this revision keep answers."""
    filesystem, root = storage.open_uri(config.revision_uri, config)
    attempts = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
    return [f"{info.path}/{FOLDER}" for info in attempts if info.type == fs.FileType.Directory]


def _key(request: Request, made: Mapping[str, str | None]) -> str:
    """What is asked, for which row, and of what."""
    asked = [request.row_id, request.messages, request.token_ids, dict(request.sampling), request.adapter]
    return storage.text_digest(json.dumps([*asked, made], sort_keys=True, default=str))


class _Parts:
    """Writes a file of what has come every few seconds; each is there as a whole or not at all."""

    def __init__(self, name: str, config: JobConfig) -> None:
        self._filesystem, self._folder = storage.open_uri(f"{config.output_uri}/{FOLDER}/{name}", config)
        self._count = len(storage.list_files(self._filesystem, self._folder))
        self._lines: list[str] = []
        self._next = 0.0

    def add(self, key: str, answer: Answer) -> None:
        self._lines.append(f"{json.dumps({'key': key, **asdict(answer)}, ensure_ascii=False)}\n")
        if (now := time.monotonic()) >= self._next:
            self._next = now + _SECONDS
            self.write()

    def write(self) -> None:
        if self._lines:
            path = f"{self._folder}/part-{self._count:05}.jsonl"
            storage.write_text(self._filesystem, path, "".join(self._lines))
            self._count += 1
            self._lines = []
