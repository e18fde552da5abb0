"""The attempts that a workflow has on its storage: what each takes and what it was made from; and their removal."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig

# <stage>/<revision>/<attempt>/<file>. Whatever else lies in the workflow's folder is not the workflow's.
_FILE = re.compile(r"([a-z][-a-z0-9]*)/([0-9a-f]{12})/([1-9][0-9]*)/(.+)")


@dataclass(frozen=True)
class Folder:
    """The folder of one attempt; without a manifest where it is unfinished."""

    stage: str
    revision: str
    attempt: int
    size: int
    manifest: Mapping[str, Any] | None
    digest: str = ""  # of the manifest


def folders(config: JobConfig) -> list[Folder]:
    """All attempts in the workflow's folder. Raises PathInUse if that is another workflow's."""
    storage.check_owner(config)
    filesystem, root = storage.open_uri(config.workflow_uri, config)
    sizes: dict[tuple[str, str, int], int] = defaultdict(int)
    finished = set()
    for info in filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True)):
        found = _FILE.fullmatch(info.path.removeprefix(root).lstrip("/"))
        if found and info.type == fs.FileType.File:
            key = (found[1], found[2], int(found[3]))
            sizes[key] += info.size
            if found[4] == storage.MANIFEST:
                finished.add(key)
    return [
        Folder(*key, size, *(_manifest(filesystem, _path(root, key)) if key in finished else (None,)))
        for key, size in sorted(sizes.items())
    ]


def remove(going: Iterable[Folder], config: JobConfig) -> None:
    """Remove attempts, each one's manifest first: a removal that is cut short leaves no half of an artifact."""
    filesystem, root = storage.open_uri(config.workflow_uri, config)
    for folder in going:
        path = _path(root, (folder.stage, folder.revision, folder.attempt))
        if folder.manifest is not None:
            filesystem.delete_file(f"{path}/{storage.MANIFEST}")
        filesystem.delete_dir(path)
        above = path.rpartition("/")[0]
        if not filesystem.get_file_info(fs.FileSelector(above, allow_not_found=True)):
            filesystem.delete_dir(above)


def _path(root: str, key: tuple[str, str, int]) -> str:
    return "/".join([root, *map(str, key)])


def _manifest(filesystem: fs.FileSystem, path: str) -> tuple[dict[str, Any], str]:
    with filesystem.open_input_stream(f"{path}/{storage.MANIFEST}") as stream:
        text = stream.read().decode()
    return json.loads(text), storage.text_digest(text)
