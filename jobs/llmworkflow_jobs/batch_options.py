"""Options of a batch that these jobs do not have: refused, rather than passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from llmworkflow_jobs import pooling
from llmworkflow_jobs.errors import JobError

_LEAVE_OUT = "leave it out"


def check(section: Mapping[str, Any]) -> None:
    """Raise OptionInvalid for the first field of a batch that has a value which these jobs cannot carry out."""
    for field, value, remedy in _refused(section):
        raise JobError("OptionInvalid", f"batch.{field} is {value!r}, which is not supported; {remedy}")


def _refused(section: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(field, value, remedy) of whatever is set and not supported."""
    if section["task"] in pooling.TASKS and section["turns"]:
        yield "turns", section["turns"], f"task {section['task']} has one answer; leave it out"
    if section["engine"] != "vllm":
        yield "engine", section["engine"], "use vllm"
    if section["input"]["format"] == "images":
        yield "input.format", "images", "name the files in a column of rows"
    if section["parallelism"]["data"] != 1:
        yield "parallelism.data", section["parallelism"]["data"], "set concurrency"
    if section["placement"]["strategy"] != "PACK":
        yield "placement.strategy", section["placement"]["strategy"], "use PACK"
    for path in _LATER:
        value = _at(section, path)
        if value not in (None, False, 0, [], {}):
            yield path, value, _LEAVE_OUT


_LATER = (
    "multimodal",
    "pipeline.preprocess.concurrency",
    "pipeline.preprocess.batchSize",
    "pipeline.preprocess.cpu",
    "pipeline.preprocess.memory",
    "pipeline.postprocess.concurrency",
    "pipeline.postprocess.batchSize",
    "pipeline.postprocess.cpu",
    "pipeline.postprocess.memory",
    "placement.bundle",
)


def _at(section: Mapping[str, Any], path: str) -> Any:
    value: Any = section
    for name in path.split("."):
        value = value[name]
    return value
