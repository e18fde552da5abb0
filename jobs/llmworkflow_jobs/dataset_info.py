"""LLaMA-Factory's dataset_info.json: which file an entry names, and its rows in the columns of the prompt.

An entry says for one data set what spec.prompt says for all of them: the shape of a row and the names of its columns.
So its rows are brought into the prompt's columns, and everything behind knows the prompt alone. Format custom of the
prompt makes messages from any columns itself: there the entry only names the file.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError, unknown_name
from llmworkflow_jobs.prompt import RowError

FILE = "dataset_info.json"

# The formats of the prompt whose messages can be made from an entry of each formatting.
_FORMATS = {
    "alpaca": ("alpaca", "custom"),
    "sharegpt": ("sharegpt", "messages", "custom"),
    "openai": ("sharegpt", "messages", "custom"),
}
# The parts of a row by LLaMA-Factory's names, and the fields of spec.prompt.columns for them.
_ANSWERS = {"chosen": "chosen", "rejected": "rejected", "kto_tag": "label"}
_CHAT = {"messages": "messages", "system": "system", **_ANSWERS}
_COLUMNS = {
    "alpaca": {
        "prompt": "instruction",
        "query": "input",
        "response": "output",
        "system": "system",
        "history": "history",
        **_ANSWERS,
    },
    "sharegpt": _CHAT,
    "openai": _CHAT,
}
# Parts that every row has; the others may be missing.
_NEEDED = ("prompt", "response", "messages")
_DEFAULT_COLUMNS: dict[str, dict[str, str]] = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
    "openai": {"messages": "messages"},
}
_DEFAULT_TAGS = {
    "sharegpt": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    "openai": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
    },
}
# What an entry may ask for that changes which rows there are, or what they are for.
_REFUSED = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "subset", "num_samples")
# Columns whose content would be left out of the messages unseen.
_NOT_TEXT = ("tools", "images", "videos", "audios")


@dataclass(frozen=True)
class Entry:
    """One data set: the address of its file or folder, and how its rows are read."""

    uri: str
    formatting: str
    columns: Mapping[str, str]
    tags: Mapping[str, str]
    prompt: Mapping[str, Any]

    def translate(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the columns of the prompt; columns that the entry does not name stay. Raises RowError."""
        if self.prompt["format"] == "custom":
            return row
        for column in _NOT_TEXT:
            if row.get(self.columns.get(column, "")):
                raise RowError(self.columns[column], f"{column} are not supported; take the rows without")
        columns = _prompt_columns(self.formatting, self.prompt)
        kept = {name: value for name, value in row.items() if name not in columns.values()}
        found = {columns[part]: row[name] for part, name in self._parts() if name in row}
        for part, name in self._parts():
            if name not in row and part in _NEEDED:
                listed = ", ".join(map(str, row))
                raise RowError(name, f"there is no such column, the row has {listed}", missing=True)
        if "messages" in columns:
            for part in ("messages", "chosen", "rejected"):
                if columns.get(part) in found:
                    found[columns[part]] = self._turns(found[columns[part]])
        return kept | found

    def _parts(self) -> list[tuple[str, str]]:
        """Parts of a row, by LLaMA-Factory's names, and the columns that hold them."""
        known = _COLUMNS[self.formatting]
        return [(part, name) for part, name in self.columns.items() if part in known and name]

    def _turns(self, turns: Any) -> Any:
        """One turn or many with the keys and roles of the prompt's format; what is neither is left as it is."""
        ours = _DEFAULT_TAGS["sharegpt" if self.prompt["format"] == "sharegpt" else "openai"]
        roles = {
            self.tags["user_tag"]: ours["user_tag"],
            self.tags["assistant_tag"]: ours["assistant_tag"],
            self.tags.get("system_tag", "system"): "system",
        }
        if isinstance(turns, Mapping):
            return self._turn(turns, ours, roles)
        if not isinstance(turns, list):
            return turns
        return [self._turn(turn, ours, roles) if isinstance(turn, Mapping) else turn for turn in turns]

    def _turn(self, turn: Mapping[str, Any], ours: Mapping[str, str], roles: Mapping[str, str]) -> Any:
        role = turn.get(self.tags["role_tag"])
        return {
            ours["role_tag"]: roles.get(str(role), role),
            ours["content_tag"]: turn.get(self.tags["content_tag"]),
        }


def find(uri: str, name: str, config: JobConfig) -> Entry:
    """The entry `name` of the dataset_info.json at `uri`, which is that file or its folder.

    Raises FileNotFound, DataInvalid, or OptionInvalid for an entry that is not there or contradicts the prompt.
    """
    folder = _folder(uri)
    where = f"{folder}/{FILE}"
    entries = _read(where, config)
    if name not in entries:
        raise unknown_name("OptionInvalid", f"data set of {where}", name, entries)
    entry, where = entries[name], f"{where}, data set {name}"
    for field in _REFUSED:
        if entry.get(field):
            raise JobError("OptionInvalid", f"{where}: {field} is not supported; name a file in file_name")
    if entry.get("ranking") and config.section.get("objective") != "dpo":
        raise JobError("OptionInvalid", f"{where}: ranking makes pairs, which only objective dpo learns from")
    formatting = entry.get("formatting", "alpaca")
    if formatting not in _FORMATS:
        raise unknown_name("DataInvalid", f"formatting ({where})", formatting, _FORMATS)
    if config.prompt["format"] not in _FORMATS[formatting]:
        raise JobError(
            "OptionInvalid",
            f"{where}: formatting is {formatting}, while prompt.format is {config.prompt['format']}; "
            f"one prompt serves all stages: set prompt.format to {' or '.join(_FORMATS[formatting])}",
        )
    columns = entry.get("columns") or _DEFAULT_COLUMNS[formatting]
    _check_columns(columns, formatting, config.prompt, where)
    tags = _DEFAULT_TAGS.get(formatting, {}) | (entry.get("tags") or {})
    return Entry(_data_uri(folder, entry, where, config), formatting, columns, tags, config.prompt)


def digest(uri: str, config: JobConfig) -> str:
    """Digest of the whole folder: entries share it, and inputs are pinned by address."""
    filesystem, path = storage.open_uri(_folder(uri), config)
    if filesystem.get_file_info(path).type != fs.FileType.Directory:
        raise JobError("FileNotFound", f"{uri} does not exist (read as {path})")
    return storage.tree_digest(filesystem, path)


def _prompt_columns(formatting: str, prompt: Mapping[str, Any]) -> dict[str, str]:
    """The prompt's columns by LLaMA-Factory's names of the parts, as far as the prompt reads them."""
    fields = {part: prompt["columns"].get(ours) for part, ours in _COLUMNS[formatting].items()}
    return {part: column for part, column in fields.items() if column}


def _check_columns(
    columns: Mapping[str, str], formatting: str, prompt: Mapping[str, Any], where: str
) -> None:
    known = _COLUMNS[formatting]
    read = _prompt_columns(formatting, prompt)
    for part, name in columns.items():
        if part not in (*known, *_NOT_TEXT):
            raise unknown_name("DataInvalid", f"column of formatting {formatting} ({where})", part, known)
        if prompt["format"] != "custom" and part in known and part not in read:
            raise JobError(
                "OptionInvalid",
                f"{where}: column {name} is the {part}, which the prompt does not read; "
                f"set prompt.columns.{known[part]} to the column that holds it in other data, or to {name}",
            )


def _folder(uri: str) -> str:
    return uri.removesuffix(FILE).rstrip("/")


def _read(where: str, config: JobConfig) -> dict[str, dict[str, Any]]:
    filesystem, path = storage.open_uri(where, config)
    if filesystem.get_file_info(path).type != fs.FileType.File:
        raise JobError(
            "FileNotFound", f"{where} does not exist (read as {path}); leave dataset out if uri is the data"
        )
    with filesystem.open_input_stream(path) as stream:
        content = stream.read()
    try:
        entries = json.loads(content)
    except ValueError as error:
        raise JobError("DataInvalid", f"{where}: not JSON ({error})") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise JobError("DataInvalid", f"{where}: expected an object with one object for each data set")
    return entries


def _data_uri(folder: str, entry: Mapping[str, Any], where: str, config: JobConfig) -> str:
    given = entry.get("file_name")
    name = _below(folder, given, config) if isinstance(given, str) else ""
    if not name or ".." in name.split("/"):
        raise JobError("DataInvalid", f"{where}: file_name is {given!r}, expected a file below {folder}")
    return posixpath.join(folder, name)


def _below(folder: str, name: str, config: JobConfig) -> str:
    """A path below `folder`; of an absolute one, which may be from before the folder was copied, the file's name."""
    root = f"{storage.open_uri(folder, config)[1].rstrip('/')}/"
    if name.startswith(root):
        return name.removeprefix(root)
    return posixpath.basename(name) if name.startswith("/") else name
