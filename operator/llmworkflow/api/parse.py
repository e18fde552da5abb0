"""From parsed YAML or JSON to the models, with every complaint in plain words."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from llmworkflow.api.fields import MODEL_ID_PATTERN, NAME_PATTERN, QUANTITY_PATTERN, JsonObject
from llmworkflow.api.problems import InvalidWorkflow, Path, Problem, did_you_mean, format_path
from llmworkflow.api.schema import known_fields
from llmworkflow.api.spec.workflow import LLMWorkflow

_EXPECTED = {  # what a field of the wrong type should be, by pydantic's type of error
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}

_FORMS: dict[str, str] = {  # what a pattern asks for
    NAME_PATTERN: "must be lower-case letters, digits and -, beginning with a letter and not ending with -",
    MODEL_ID_PATTERN: "must be letters, digits, ., _, / and -, beginning with a letter or digit",
    QUANTITY_PATTERN: "must be a quantity such as 2, 500m or 16Gi",
}


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


_MESSAGES: dict[str, Callable[[JsonObject], str]] = {  # by pydantic's type of error, from its context
    "greater_than": lambda context: f"must be larger than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']:g}",
    "less_than": lambda context: f"must be less than {context['lt']:g}",
    "less_than_equal": lambda context: f"must be at most {context['le']:g}",
    "too_short": lambda context: "needs at least " + _entries(context["min_length"]),
    "too_long": lambda context: (
        f"takes at most {context['max_length']} entries, not {context['actual_length']}"
    ),
    "string_too_short": lambda context: "must not be empty",
    "string_too_long": lambda context: f"takes at most {context['max_length']} characters",
    "string_pattern_mismatch": lambda context: (
        _FORMS.get(context["pattern"]) or f"must match {context['pattern']}"
    ),
    "literal_error": lambda context: f"must be one of {context['expected']}".replace("'", ""),
    "value_error": lambda context: str(context["error"]),
}


def parse_workflow(content: JsonObject) -> LLMWorkflow:
    """The workflow that a JSON object describes.

    Raises:
        InvalidWorkflow: one problem for each thing wrong.
    """
    try:
        return LLMWorkflow.model_validate(content, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        # not from the error: that would show values of the spec, which may be secrets
        raise InvalidWorkflow(_problems(content, error.errors(include_url=False))) from None


def _problems(content: JsonObject, errors: Iterable[ErrorDetails]) -> list[Problem]:
    """One problem a field: the alternatives of a union complain together, the one that came furthest alone."""
    placed = [(_field_path(content, error), error) for error in errors]
    paths = [path for path, _ in placed]
    return [
        _problem(path, [error for _, error in group])
        for path, group in groupby(placed, key=lambda item: item[0])
        if not any(other[: len(path)] == path and len(other) > len(path) for other in paths)
    ]


def _field_path(content: JsonObject, error: ErrorDetails) -> Path:
    """The error's place without pydantic's own steps, such as the name of a union's alternative."""
    path: list[str | int] = []
    value: Any = content
    for part in error["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            if error["type"] != "missing":
                continue
        path.append(part)
    return tuple(path)


def _problem(path: Path, errors: list[ErrorDetails]) -> Problem:
    first = errors[0]
    if first["type"] == "extra_forbidden":
        return Problem(path, "unknown field", did_you_mean(str(path[-1]), known_fields(path[:-1])))
    if first["type"] == "duplicate_key":
        return _duplicate(path, first["ctx"])
    if first["type"] == "missing":
        return Problem(path, "is required", "set it")
    if all(error["type"] in _EXPECTED for error in errors):
        expected = dict.fromkeys(_EXPECTED[error["type"]] for error in errors)
        remedy = "quote it" if "text" in expected and isinstance(first["input"], int | float) else ""
        return Problem(path, f"must be {' or '.join(expected)}", remedy, value=first["input"])
    described = next(error for error in errors if error["type"] not in _EXPECTED)
    translate = _MESSAGES.get(described["type"])
    message = translate(described.get("ctx", {})) if translate else described["msg"]
    return Problem(path, message, value=described["input"])


def _duplicate(path: Path, context: JsonObject) -> Problem:
    earlier = format_path((*path, context["first"]))
    return Problem(
        (*path, context["position"], context["key"]),
        f"{earlier} has this {context['key']} already",
        "choose another",
        value=context["name"],
    )
