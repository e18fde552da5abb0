"""Reads what the page is made from: manifests, curves and rows of the artifacts that a status names."""

import json
import posixpath
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from pyarrow import ArrowInvalid, fs, parquet

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Artifact, LLMWorkflowStatus
from llmworkflow.page.contenders import Role, trials
from llmworkflow.page.sources import Sources

MANIFEST = "manifest.json"
CURVE = "training.jsonl"
ROWS, BASE_ROWS = "rows", "base"  # the folders of a batch's artifact

OpenUri = Callable[[str], tuple[fs.FileSystem, str]]


def gather(
    workflow: LLMWorkflow, status: LLMWorkflowStatus, now: datetime, accelerated: bool, open_uri: OpenUri
) -> Sources:
    """Read everything once; what is gone or cannot be read is named on the page instead."""
    reader = _Reader(open_uri)
    artifacts = _artifacts(status)
    compared = [item for trial in trials(workflow, status) for item in trial.contenders if item.artifact]
    manifests = {uri: found for uri in artifacts if (found := reader.manifest(uri)) is not None}
    return Sources(
        workflow=workflow,
        status=status,
        now=now,
        accelerated=accelerated,
        manifests=manifests,
        curves={
            uri: rows
            for uri, artifact in artifacts.items()
            if artifact.type != "rows" and uri in manifests and (rows := reader.lines(f"{uri}/{CURVE}"))
        },
        rows={item.uri: reader.rows(f"{item.uri}/{ROWS}") for item in compared if item.uri in manifests},
        base_rows={
            item.uri: rows
            for item in compared
            if item.role is Role.CANDIDATE and (rows := reader.rows(f"{item.uri}/{BASE_ROWS}"))
        },
        absent=tuple(reader.absent),
    )


def _artifacts(status: LLMWorkflowStatus) -> dict[str, Artifact]:
    """Every artifact that the status names, by its uri."""
    found = [result.artifact for stage in status.stages for result in stage.results]
    promotions = [*(stage.serving for stage in status.stages), *status.history]
    found += [item.artifact for promotion in promotions if promotion for item in promotion.inputs.values()]
    return {artifact.uri: artifact for artifact in found if artifact}


class _Reader:
    """Reads files of artifacts, and remembers what it could not read."""

    def __init__(self, open_uri: OpenUri) -> None:
        self._open_uri = open_uri
        self.absent: list[str] = []

    def manifest(self, uri: str) -> JsonObject | None:
        """The manifest of an artifact, None where it cannot be read."""
        try:
            manifest: JsonObject = json.loads(self._text(f"{uri}/{MANIFEST}"))
        except (OSError, ValueError) as error:
            self.absent.append(f"{uri}/{MANIFEST}: {_why(error)}")
            return None
        return manifest

    def lines(self, uri: str) -> list[JsonObject]:
        """The objects of a file with one on each line, none where there is no such file."""
        filesystem, path = self._open_uri(uri)
        if filesystem.get_file_info(path).type != fs.FileType.File:
            return []
        return [json.loads(line) for line in self._text(uri).split("\n") if line]

    def rows(self, uri: str) -> list[JsonObject]:
        """The rows in the files of a folder, none where there is no such folder."""
        filesystem, path = self._open_uri(uri)
        selector = fs.FileSelector(path, allow_not_found=True)
        infos = sorted(filesystem.get_file_info(selector), key=lambda info: str(info.path))
        try:
            return [row for info in infos for row in _rows(filesystem, info.path)]
        except (OSError, ValueError, ArrowInvalid) as error:
            self.absent.append(f"{uri}: {_why(error)}")
            return []

    def _text(self, uri: str) -> str:
        filesystem, path = self._open_uri(uri)
        with filesystem.open_input_stream(path) as stream:
            text: str = stream.read().decode()
        return text


def _rows(filesystem: fs.FileSystem, path: str) -> Iterator[Any]:
    with filesystem.open_input_file(path) as stream:
        if posixpath.splitext(path)[1] == ".parquet":
            yield from parquet.read_table(stream).to_pylist()
        else:
            yield from (json.loads(line) for line in stream.read().split(b"\n") if line)


def _why(error: Exception) -> str:
    return "not there" if isinstance(error, FileNotFoundError) else str(error)
