"""Reads what the page is made from: manifests, curves and rows of the artifacts that a status names."""

import json
import posixpath
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from pyarrow import ArrowInvalid, fs, parquet

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Artifact, LLMWorkflowStatus
from llmworkflow.page.contenders import Role, trials
from llmworkflow.page.sources import Sources

MANIFEST = "manifest.json"
CURVE = "training.jsonl"
ROWS, BASE_ROWS = "rows", "base"  # the folders of a batch's artifact

Found = TypeVar("Found")
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
        found: JsonObject | None = self._try(f"{uri}/{MANIFEST}", self._json, None)
        return found

    def lines(self, uri: str) -> list[JsonObject]:
        """The objects of a file with one on each line, none where it cannot be read."""
        return self._try(
            uri, lambda path: [json.loads(line) for line in self._text(path).split("\n") if line], []
        )

    def rows(self, uri: str) -> list[JsonObject]:
        """The rows in the files of a folder, none where there is no such folder."""
        return self._try(uri, self._rows, [])

    def _rows(self, uri: str) -> list[JsonObject]:
        filesystem, path = self._open_uri(uri)
        selector = fs.FileSelector(path, allow_not_found=True)
        infos = sorted(filesystem.get_file_info(selector), key=lambda info: str(info.path))
        return [row for info in infos for row in read_rows(filesystem, info.path)]

    def _try(self, uri: str, read: Callable[[str], Found], otherwise: Found) -> Found:
        try:
            return read(uri)
        except (OSError, ValueError, ArrowInvalid) as error:
            why = "not there" if isinstance(error, FileNotFoundError) else str(error)
            self.absent.append(f"{uri}: {why}")
            return otherwise

    def _json(self, uri: str) -> Any:
        return json.loads(self._text(uri))

    def _text(self, uri: str) -> str:
        filesystem, path = self._open_uri(uri)
        with filesystem.open_input_stream(path) as stream:
            text: str = stream.read().decode()
        return text


def read_rows(filesystem: fs.FileSystem, path: str) -> Iterator[Any]:
    """The rows of a file, parquet or one JSON object on each line."""
    with filesystem.open_input_file(path) as stream:
        if posixpath.splitext(path)[1] == ".parquet":
            yield from parquet.read_table(stream).to_pylist()
        else:
            yield from (json.loads(line) for line in stream.read().split(b"\n") if line)
