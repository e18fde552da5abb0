"""What a stage's inputs hold now, for whoever wants to know before it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llmworkflow_jobs import data, model
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError


def digests(config: JobConfig) -> dict[str, str]:
    """Digests of the base model and the data that a stage names, by uri. What cannot be read is left to the job."""
    look_ups: dict[str, Callable[[], str]] = {config.model["source"]: lambda: model.source_digest(config)}
    for source in _sources(config):
        look_ups[source["uri"]] = lambda source=source: data.source_digest(source, config)  # type: ignore[misc]
    found = {}
    for uri, look_up in look_ups.items():
        try:
            found[uri] = look_up()
        except JobError:
            continue  # the job will say so, with its reason
    return found


def _sources(config: JobConfig) -> list[Mapping[str, Any]]:
    if config.stage["kind"] == "fineTune":
        parts = config.section["data"] or {}
        return [source for name in ("train", "validation") for source in parts.get(name) or []]
    if config.stage["kind"] == "batch" and config.section["input"]["uri"]:
        return [config.section["input"]]
    return []
