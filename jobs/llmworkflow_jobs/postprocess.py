"""From what the model wrote to the answer: a template of the resource over the row and the text."""

from __future__ import annotations

from dataclasses import replace

import jinja2

from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import RowError, fill, parse
from llmworkflow_jobs.rows import Answer, Request


def check(template: str | None) -> None:
    """Raise OptionInvalid for a template that is none."""
    try:
        parse(template or "")
    except jinja2.TemplateSyntaxError as error:
        raise JobError(
            "OptionInvalid", f"postprocess is no template, line {error.lineno}: {error.message}"
        ) from error


def apply(template: str | None, request: Request, answer: Answer | None) -> Answer | None:
    """The answer with the text that the template makes of it, or with an error where it cannot."""
    if template is None or answer is None or answer.error is not None:
        return answer
    try:
        return replace(answer, text=fill(template, "postprocess", row=request.row, text=answer.text))
    except RowError as error:
        return replace(answer, error=f"{error}; the text was {answer.text!r}")
