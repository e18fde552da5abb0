"""Batches with several adapters: every row names the one that answers it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Request, check_errors


def assign(
    requests: Iterable[Request], column: str, adapters: Collection[str], on_row_error: str
) -> list[Request]:
    """The requests with the adapter that `column` of their row names; empty there means the base model.

    A request whose row names another gets an error, which is raised as DataInvalid if `on_row_error` is "fail", or if
    no request is without one. Raises ColumnMissing if no row has the column.
    """
    assigned = [_assigned(request, column, adapters) for request in requests]
    if not any(column in request.row for request in assigned):
        raise JobError(
            "ColumnMissing", f"no row has the column {column} of adapterColumn; name one of the data's"
        )
    check_errors(assigned, on_row_error)
    return assigned


def _assigned(request: Request, column: str, adapters: Collection[str]) -> Request:
    name = request.row.get(column)
    if name in (None, "") or request.error is not None:
        return request
    if name in adapters:
        return replace(request, adapter=name)
    return request.failed(f"column {column} names the adapter {name!r}, there are {', '.join(adapters)}")
