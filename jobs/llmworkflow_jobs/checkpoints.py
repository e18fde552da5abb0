"""Checkpoints of a fine-tuning: which are complete, which to resume from, which to keep.

The trainer writes the files of a checkpoint one after another, so a checkpoint counts only once a last file lists
them with their sizes. A run that was killed leaves at most checkpoints without it, which are passed over.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig

COMPLETE = "complete.json"
FOLDER = "checkpoints"

_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True, order=True)
class Checkpoint:
    """A checkpoint in storage; the order is by progress, and of equals the later attempt's comes last."""

    step: int
    attempt: int
    uri: str


def local_root(config: JobConfig) -> Path:
    """Where the trainer writes its checkpoints: the attempt's own folder, or a local one beside a bucket."""
    filesystem, path = storage.open_uri(config.output_uri, config)
    if isinstance(filesystem, fs.LocalFileSystem):
        return Path(path) / FOLDER
    return Path(tempfile.gettempdir()) / "llmworkflow" / config.workflow["uid"] / path.strip("/") / FOLDER


def hand_over(folder: Path, config: JobConfig) -> None:
    """Bring what the workers of a further node wrote to storage, and forget there what was pruned of it since.

    To be called before `finish`.
    """
    storage.upload(str(folder), f"{config.output_uri}/{FOLDER}/{folder.name}", config)
    filesystem, root = storage.open_uri(f"{config.output_uri}/{FOLDER}", config)
    kept = set(_folders(filesystem, root))
    for other in folder.parent.iterdir():
        if other.name not in kept:
            shutil.rmtree(other, ignore_errors=True)


def finish(folder: Path, config: JobConfig) -> None:
    """Declare the files in `folder` a complete checkpoint and bring them to storage."""
    sizes = {
        str(file.relative_to(folder)): file.stat().st_size
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    sizes.pop(COMPLETE, None)
    uri = f"{config.output_uri}/{FOLDER}/{folder.name}"
    storage.upload(str(folder), uri, config)
    filesystem, path = storage.open_uri(uri, config)
    storage.write_text(filesystem, f"{path}/{COMPLETE}", json.dumps(sizes))


def newest(config: JobConfig) -> Checkpoint | None:
    """The complete checkpoint that is furthest ahead, of this attempt or an earlier one of the same revision."""
    found = sorted(_all(config), reverse=True)
    return next((checkpoint for checkpoint in found if _is_complete(checkpoint, config)), None)


def named(name: str, config: JobConfig) -> Checkpoint | None:
    """The newest complete checkpoint with the name of a folder, such as checkpoint-50."""
    found = sorted((c for c in _all(config) if os.path.basename(c.uri) == name), reverse=True)
    return next((checkpoint for checkpoint in found if _is_complete(checkpoint, config)), None)


def fetch(checkpoint: Checkpoint, config: JobConfig) -> str:
    """Local folder with the checkpoint's files."""
    return storage.local_path(checkpoint.uri, config)


def prune(config: JobConfig, keep: int, best: str | None) -> None:
    """Delete this attempt's checkpoints but the newest `keep` complete ones and the folder that `best` names.

    To be called after `finish`, so that a complete checkpoint exists at any time.
    """
    mine = sorted((c for c in _all(config) if c.attempt == config.stage["attempt"]), reverse=True)
    kept = [checkpoint for checkpoint in mine if _is_complete(checkpoint, config)][:keep]
    for checkpoint in mine:
        name = os.path.basename(checkpoint.uri)
        if checkpoint not in kept and name != os.path.basename(best or ""):
            filesystem, path = storage.open_uri(checkpoint.uri, config)
            filesystem.delete_dir(path)
            shutil.rmtree(local_root(config) / name, ignore_errors=True)


def _all(config: JobConfig) -> Iterator[Checkpoint]:
    """Checkpoints of the attempts up to this one, complete or not."""
    filesystem, root = storage.open_uri(config.revision_uri, config)
    for attempt in _folders(filesystem, root):
        if not attempt.isdigit() or int(attempt) > config.stage["attempt"]:
            continue
        for name in _folders(filesystem, f"{root}/{attempt}/{FOLDER}"):
            if match := _NAME.fullmatch(name):
                uri = f"{config.revision_uri}/{attempt}/{FOLDER}/{name}"
                yield Checkpoint(int(match[1]), int(attempt), uri)


def _folders(filesystem: fs.FileSystem, path: str) -> list[str]:
    infos = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    return [info.base_name for info in infos if info.type == fs.FileType.Directory]


def _is_complete(checkpoint: Checkpoint, config: JobConfig) -> bool:
    filesystem, path = storage.open_uri(checkpoint.uri, config)
    try:
        with filesystem.open_input_stream(f"{path}/{COMPLETE}") as stream:
            sizes: dict[str, int] = json.loads(stream.read())
    except (FileNotFoundError, ValueError):
        return False
    infos = filesystem.get_file_info([f"{path}/{name}" for name in sizes])
    return [info.size for info in infos] == list(sizes.values())
