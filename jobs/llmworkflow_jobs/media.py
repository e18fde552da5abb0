"""Images, video and audio of rows, as an endpoint takes them: addresses, or the file itself in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inline import address_of
from llmworkflow_jobs.prompt import RowError
from llmworkflow_jobs.rows import Request

# Addresses that go to the endpoint as they are.
_ADDRESSES = ("data:", "http://", "https://")


@dataclass(frozen=True)
class Media:
    """What `column` of a row holds beside its text: an image, a video or a sound."""

    kind: str
    column: str
    config: JobConfig

    def messages(self, request: Request) -> list[dict[str, Any]]:
        """The messages of a request, of which the first of the user also holds what the row has. Raises RowError."""
        part = {"type": f"{self.kind}_url", f"{self.kind}_url": {"url": self._address(request.row)}}
        found: list[dict[str, Any]] = [dict(message) for message in request.messages]
        first = next(message for message in found if message["role"] == "user")
        first["content"] = [part, {"type": "text", "text": first["content"]}]
        return found

    def _address(self, row: Mapping[str, Any]) -> str:
        value = row.get(self.column)
        if isinstance(value, Mapping):  # of a data set of the hub
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return address_of(value)
        if not isinstance(value, str) or not value:
            raise RowError(self.column, f"expected the path, the address or the bytes of an {self.kind}")
        return value if value.startswith(_ADDRESSES) else self._read(value)

    def _read(self, uri: str) -> str:
        try:
            filesystem, path = storage.open_uri(uri, self.config)
            with filesystem.open_input_stream(path) as stream:
                return address_of(stream.read(), path)
        except (OSError, JobError) as error:
            raise RowError(self.column, f"{uri} cannot be read: {error}") from error


def of(config: JobConfig) -> Media | None:
    """What the rows of a batch hold beside text, if anything."""
    told = config.section["multimodal"]
    return Media(told["kind"], told["column"], config) if told else None


def check(requests: Sequence[Request], config: JobConfig) -> None:
    """Raise ColumnMissing if no row has the column of `multimodal`."""
    found = of(config)
    if found and all(found.column not in request.row for request in requests):
        raise JobError("ColumnMissing", f"no row has the column {found.column} of multimodal.column")
