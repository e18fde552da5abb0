"""Sampling parameters that a row brings for itself, in the column `sampling.column`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmworkflow_jobs import sampling
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Request, check_errors

# vLLM's own values of what is unset. Arrow gives every row the keys of all rows, and would fill them with nothing.
_UNSET: dict[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "min_tokens": 0,
    "seed": None,
    "stop": [],
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    sampling.FORM: None,
}


def assign(
    requests: Sequence[Request], column: str, on_row_error: str, ignored: Collection[str] = ()
) -> list[Request]:
    """The requests with the parameters that `column` of their rows holds; rows may leave it empty.

    A request whose row holds something else, or a name that is `ignored` by the engine, gets an error, which is raised
    as DataInvalid if `on_row_error` is "fail", or if no request is without one. Raises ColumnMissing if no row has the
    column.
    """
    if all(column not in request.row for request in requests):
        raise JobError("ColumnMissing", f"no row has the column {column} of sampling.column")
    assigned = [_assigned(request, column, ignored) for request in requests]
    check_errors(assigned, on_row_error)
    return assigned


def parameters(requests: Iterable[Request], common: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """What vLLM is to sample with for each request, all with the same keys; None if no row brings its own."""
    asked = list(requests)
    if not any(request.sampling for request in asked):
        return None
    each = [{**common, **request.sampling} for request in asked]
    names = dict.fromkeys(name for fields in each for name in fields)
    forms = dict.fromkeys(name for fields in each for name in fields.get(sampling.FORM) or ())
    return [_completed(fields, names, forms) for fields in each]


def _completed(fields: Mapping[str, Any], names: Iterable[str], forms: Iterable[str]) -> dict[str, Any]:
    found = {name: fields.get(name, _UNSET.get(name)) for name in names}
    for name, unset in _UNSET.items():
        if isinstance(unset, float) and name in found:
            found[name] = float(found[name])  # the model's own defaults may be whole numbers
    if form := found.get(sampling.FORM):
        found[sampling.FORM] = {name: form.get(name) for name in forms}
    return found


def _assigned(request: Request, column: str, ignored: Collection[str]) -> Request:
    value = request.row.get(column)
    if value in (None, "") or request.error is not None:
        return request
    try:
        return replace(request, sampling=_own(value, ignored))
    except ValueError as error:
        return request.failed(f"column {column}: {error}")


def _own(value: Any, ignored: Collection[str]) -> dict[str, Any]:
    """The parameters in vLLM's names, of an object or its JSON text. Raises ValueError."""
    fields = json.loads(value) if isinstance(value, str) else value
    if not isinstance(fields, Mapping):
        raise ValueError(  # noqa: TRY004 -- one kind of error for whatever a row holds
            f"expected an object of sampling parameters, found {value!r}"
        )
    # rows of Parquet have the keys of all rows
    own = {name: item for name, item in fields.items() if item is not None}
    for name, item in own.items():
        if name not in _TYPES:
            raise ValueError(f"{name} is no sampling parameter of a row; there are {', '.join(_TYPES)}")
        if name in ignored:
            raise ValueError(f"{name} is {item!r}, which the engine would ignore")
        expected, fits = _TYPES[name]
        if not fits(item):
            raise ValueError(f"{name} is {item!r}, expected {expected}")
    form = {sampling.FORM: sampling.form_of(own.pop("structured"))} if "structured" in own else {}
    return {sampling.NAMES[name]: item for name, item in own.items()} | form


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _form(value: Any) -> bool:
    """Whether the value is one form of answers, as `sampling.structured` has it."""
    given = [name for name, item in value.items() if item is not None] if isinstance(value, Mapping) else []
    return len(given) == 1 and given[0] in sampling.FORMS


_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(
        ("temperature", "topP", "repetitionPenalty", "presencePenalty", "frequencyPenalty"),
        ("a number", _number),
    ),
    **dict.fromkeys(("topK", "maxTokens", "minTokens", "seed"), ("a whole number", _whole)),
    "stop": ("a list of texts", _texts),
    "structured": (f"an object with one of {', '.join(sampling.FORMS)}", _form),
}
