"""Options of a batch that these jobs do not have: refused, rather than passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmworkflow_jobs import endpoint, pooling
from llmworkflow_jobs.errors import JobError


def check(section: Mapping[str, Any]) -> None:
    """Raise OptionInvalid for the first field of a batch that has a value which these jobs cannot carry out."""
    for field, value, remedy in _refused(section):
        raise JobError("OptionInvalid", f"batch.{field} is {value!r}, which is not supported; {remedy}")


def _refused(section: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(field, value, remedy) of whatever is set and not supported."""
    task = section["task"]
    if task in pooling.TASKS:
        yield from _set(section, ("turns", "sampling.structured", "sampling.column"), "it is for texts")
    if task in endpoint.TASKS:
        yield from _set(section, _OF_ENGINES, "set it where the endpoint is started")


def _set(section: Mapping[str, Any], paths: Iterable[str], remedy: str) -> Iterator[tuple[str, Any, str]]:
    for path in paths:
        value = _at(section, path)
        if value not in (None, False, 0, [], {}):
            yield path, value, remedy


_OF_ENGINES = ("engineKwargs", "pipeline.maxPendingRequests", "pipeline.maxConcurrentBatches")


def _at(section: Mapping[str, Any], path: str) -> Any:
    value: Any = section
    for name in path.split("."):
        value = value[name]
    return value
