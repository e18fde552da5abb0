"""What a stage's inputs hold now, for whoever wants to know before it runs."""

from __future__ import annotations

from collections.abc import Callable

from llmworkflow_jobs import data, model
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError


def digests(config: JobConfig) -> dict[str, str]:
    """Digests of the base model and the data that a stage names, by uri. What cannot be read is left to the job."""
    look_ups: dict[str, Callable[[], str]] = {config.model["source"]: lambda: model.source_digest(config)}
    for uri in _data_uris(config):
        look_ups[uri] = lambda uri=uri: data.source_digest(uri, config)  # type: ignore[misc]
    found = {}
    for uri, look_up in look_ups.items():
        try:
            found[uri] = look_up()
        except JobError:
            continue  # the job will say so, with its reason
    return found


def _data_uris(config: JobConfig) -> list[str]:
    if config.stage["kind"] == "fineTune":
        parts = config.section["data"] or {}
        return [source["uri"] for name in ("train", "validation") for source in parts.get(name) or []]
    if config.stage["kind"] == "batch" and config.section["input"]["uri"]:
        return [config.section["input"]["uri"]]
    return []
