"""Steps of a batch around its engine: in this process, or in those of Ray Data that the resource asks for."""

from __future__ import annotations

import logging
import pickle  # what this program wrote itself, a moment ago
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

from llmworkflow_jobs.errors import JobError

Item = TypeVar("Item")
Made = TypeVar("Made")

# Ray Data would start a process again for ever, also one that each time dies of the same row.
_RESTARTS = 3


def mapped(
    function: Callable[[Item], Made], items: Iterable[Item], step: Mapping[str, Any], batch_size: int
) -> list[Made]:
    """What `function` makes of each item, in their order; `step` is one of `batch.pipeline`.

    The function returns what is wrong with a row, and raises only what ends the batch.
    """
    if not any(step.values()):
        return [function(item) for item in items]
    return _on_ray(function, list(items), step, step["batchSize"] or batch_size)


def connect() -> None:
    """Connect to Ray, if that was not done yet."""
    import ray

    if not ray.is_initialized():
        ray.init(logging_level=logging.WARNING)


class Worker:
    """Applies a function to items that come pickled, as rows may hold anything; for map_batches of Ray Data."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __call__(self, table: pa.Table) -> pa.Table:
        made = [pickle.dumps(self._function(pickle.loads(item))) for item in table["item"].to_pylist()]  # noqa: S301
        return pa.table({"place": table["place"], "item": pa.array(made, pa.large_binary())})


def _on_ray(function: Any, items: list[Any], step: Mapping[str, Any], batch_size: int) -> list[Any]:
    connect()
    import ray.data
    from ray.exceptions import RayError

    ray.data.DataContext.get_current().enable_progress_bars = False
    tables = [_table(items, start, batch_size) for start in range(0, len(items), batch_size)]
    dataset = ray.data.from_arrow(tables).map_batches(
        Worker,
        fn_constructor_args=(function,),
        batch_size=batch_size,
        batch_format="pyarrow",
        max_restarts=_RESTARTS,
        **resources(step),
    )
    made: list[Any] = [None] * len(items)
    try:
        for row in dataset.iter_rows():
            made[row["place"]] = pickle.loads(row["item"])  # noqa: S301
    except RayError as error:
        cause = str(error).rstrip().rpartition("\n")[2]
        raise JobError(
            "InternalError", f"a process of batch.pipeline died: {cause}", retryable=True
        ) from error
    return made


def _table(items: list[Any], start: int, size: int) -> pa.Table:
    pickled = [pickle.dumps(item) for item in items[start : start + size]]
    places = range(start, start + len(pickled))
    return pa.table({"place": pa.array(places, pa.int64()), "item": pa.array(pickled, pa.large_binary())})


def resources(step: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of map_batches; what is unset is left to Ray Data."""
    from ray.data import ActorPoolStrategy

    size = step["concurrency"]
    wanted = {
        "compute": ActorPoolStrategy(size=size) if size else None,
        "num_cpus": step["cpu"],
        "memory": step["memory"],
    }
    return {name: value for name, value in wanted.items() if value is not None}
