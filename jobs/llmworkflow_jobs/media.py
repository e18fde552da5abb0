"""Images, video and audio of rows.

An endpoint takes addresses, or the file itself in one. An engine of the batch's own is given an image beside the token
ids, in which the chat template has left its place.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmworkflow_jobs import storage, web
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inline import address_of, content_of
from llmworkflow_jobs.prompt import Message, RowError
from llmworkflow_jobs.rows import Encode, Request

# Column of an engine's rows that has the file of an image.
IMAGE = "image"
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
        first = found[_first_of_user(found)]
        first["content"] = [part, {"type": "text", "text": first["content"]}]
        return found

    def image(self, row: Mapping[str, Any]) -> bytes:
        """The file of a row's image. Raises RowError, also if it is none."""
        value = self._value(row)
        content = value if isinstance(value, bytes) else self._fetched(value)
        try:
            _opened(content)
        except (OSError, SyntaxError) as error:  # the second is how a broken PNG is told
            raise RowError(self.column, "holds no image that can be opened") from error
        return content

    def _value(self, row: Mapping[str, Any]) -> str | bytes:
        """The file, or where it is."""
        value = row.get(self.column)
        if isinstance(value, Mapping):  # of a data set of the hub
            value = value.get("bytes") or value.get("path")
        if not isinstance(value, str | bytes) or not value:
            raise RowError(self.column, f"expected the path, the address or the bytes of an {self.kind}")
        return value

    def _address(self, row: Mapping[str, Any]) -> str:
        value = self._value(row)
        if isinstance(value, bytes):
            return address_of(value)
        return value if value.startswith(_ADDRESSES) else address_of(self._read(value), value)

    def _fetched(self, address: str) -> bytes:
        if not address.startswith(_ADDRESSES):
            return self._read(address)
        try:
            return content_of(address) if address.startswith("data:") else web.fetch(address)
        except (JobError, ValueError) as error:
            raise RowError(self.column, f"{address[:80]} cannot be read: {error}") from error

    def _read(self, uri: str) -> bytes:
        try:
            filesystem, path = storage.open_uri(uri, self.config)
            with filesystem.open_input_stream(path) as stream:
                content: bytes = stream.read()
                return content
        except (OSError, JobError) as error:
            raise RowError(self.column, f"{uri} cannot be read: {error}") from error


def of(config: JobConfig) -> Media | None:
    """What the rows of a batch hold beside text, if anything."""
    told = config.section["multimodal"]
    return Media(told["kind"], told["column"], config) if told else None


def look(config: JobConfig) -> Callable[[Mapping[str, Any]], bytes] | None:
    """What finds the image of a row for an engine of the batch's own, if rows have one."""
    found = of(config)
    return found.image if found and config.section["task"] == "generate" else None


def shown(encode: Encode) -> Encode:
    """`encode` for messages of which the first of the user shows an image, in the form of chat templates."""

    def with_image(messages: list[Message]) -> list[int]:
        first = _first_of_user(messages)
        text = {"type": "text", "text": messages[first]["content"]}
        user: Any = {"role": "user", "content": [{"type": "image"}, text]}
        return encode([*messages[:first], user, *messages[first + 1 :]])

    return with_image


def for_engine(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The image of a row under the `key` by which an engine takes it; nothing if there is none."""
    return {key: {"image": _opened(row[IMAGE])}} if row.get(IMAGE) else {}


def _opened(content: bytes) -> Any:
    from PIL import Image

    try:
        return Image.open(io.BytesIO(content)).convert("RGB")
    except Image.DecompressionBombError as error:  # larger than PIL takes
        raise OSError(str(error)) from error


def _first_of_user(messages: Sequence[Mapping[str, Any]]) -> int:
    """Place of the user's first message. Raises RowError where there is none."""
    for place, message in enumerate(messages):
        if message["role"] == "user":
            return place
    raise RowError("messages", "there is none of the user, which the media would go with")


def check(rows: Sequence[Mapping[str, Any]], config: JobConfig) -> None:
    """Raise ColumnMissing if no row has the column of `multimodal`."""
    found = of(config)
    if found and all(found.column not in row for row in rows):
        raise JobError("ColumnMissing", f"no row has the column {found.column} of multimodal.column")
