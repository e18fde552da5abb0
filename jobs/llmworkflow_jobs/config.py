"""The configuration of one attempt of one stage: a JSON file that the operator writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from llmworkflow_jobs.errors import JobError

SCHEMA_VERSION = 1
CONFIG_ENV = "LLMWORKFLOW_CONFIG"

# The key under which each kind of stage keeps its own fields is the kind itself.
_KINDS = ("fineTune", "batch", "serve", "prefetch")


@dataclass(frozen=True)
class JobConfig:
    """What a job needs to know. Each mapping keeps the operator's camelCase keys, defaults filled in.

    Picklable, so that it travels to Ray's workers as it is.
    """

    workflow: Mapping[str, Any]
    stage: Mapping[str, Any]
    storage: Mapping[str, Any]
    model: Mapping[str, Any]
    prompt: Mapping[str, Any]
    section: Mapping[str, Any]
    accelerator: Mapping[str, Any] | None = None
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    incumbents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pinned: Mapping[str, str] = field(default_factory=dict)

    @property
    def workflow_uri(self) -> str:
        """Folder of everything that the workflow keeps."""
        return f"{self.storage['uri'].rstrip('/')}/{self.storage['path'].strip('/')}"

    @property
    def revision_uri(self) -> str:
        """Folder of the attempts of this stage's revision."""
        return f"{self.workflow_uri}/{self.stage['name']}/{self.stage['revision']}"

    @property
    def output_uri(self) -> str:
        """Folder of this attempt."""
        return f"{self.revision_uri}/{self.stage['attempt']}"

    def based_on(self, source: str) -> JobConfig:
        """The same with another base model; the revision is that of the workflow's, and not its."""
        return replace(self, model={**self.model, "source": source, "revision": None})


def load(path: str | None = None) -> JobConfig:
    """Read the configuration at `path`, or where LLMWORKFLOW_CONFIG points.

    Raises JobError with reason OptionInvalid if there is none or it is of another schema.
    """
    path = path or os.environ.get(CONFIG_ENV)
    if not path:
        raise JobError(
            "OptionInvalid", f"no configuration: set {CONFIG_ENV} to the path of the stage's JSON file"
        )
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        raise JobError("OptionInvalid", f"configuration {path} cannot be read: {error}") from error
    return parse(document, path)


def parse(document: Mapping[str, Any], path: str = "configuration") -> JobConfig:
    """Build a JobConfig from the JSON document; `path` is named in errors."""
    version = document.get("schemaVersion")
    if version != SCHEMA_VERSION:
        raise JobError(
            "OptionInvalid",
            f"{path}: schemaVersion is {version!r}, these jobs read {SCHEMA_VERSION}; "
            "use jobs and operator of the same release",
        )
    try:
        kind = document["stage"]["kind"]
        if kind not in _KINDS:
            raise JobError(
                "OptionInvalid", f"{path}: stage.kind is {kind!r}, expected one of {', '.join(_KINDS)}"
            )
        return JobConfig(
            workflow=document["workflow"],
            stage=document["stage"],
            storage=document["storage"],
            model=document["model"],
            prompt=document["prompt"],
            section=document[kind],
            accelerator=document.get("accelerator"),
            inputs=document.get("inputs") or {},
            incumbents=document.get("incumbents") or {},
            pinned=document.get("pinned") or {},
        )
    except KeyError as error:
        raise JobError("OptionInvalid", f"{path}: field {error.args[0]} is missing") from error
