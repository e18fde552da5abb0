"""The template that makes the answer of what a model wrote."""

from __future__ import annotations

import pytest

from llmworkflow_jobs import postprocess
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Answer, Request

REQUEST = Request(0, {"name": "Ada"}, [], [1])
ANSWER = Answer('{"label": "good"} ', [5], 0.1)


def answer_of(template: str | None) -> Answer:
    found = postprocess.apply(template, REQUEST, ANSWER)
    assert found is not None
    return found


@pytest.mark.capability("postprocess")
@pytest.mark.parametrize(
    ("template", "text"),
    [
        (None, ANSWER.text),
        ("{{ text.strip() }}", '{"label": "good"}'),
        ("{{ row.name }}: {{ (text | from_json).label }}", "Ada: good"),
    ],
)
def test_a_template_makes_the_answer(template: str | None, text: str) -> None:
    found = answer_of(template)
    assert (found.text, found.error) == (text, None)
    assert found.token_ids == [5]  # what the model wrote


@pytest.mark.parametrize(
    "template", ["{{ row.surname }}", "{{ (text | from_json).label + 1 }}", "{{ row.name | from_json }}"]
)
def test_a_text_that_does_not_fit_the_template_is_an_error(template: str) -> None:
    found = answer_of(template)
    assert found.error is not None
    assert found.error.startswith("column postprocess: ")
    assert "good" in found.error


@pytest.mark.capability("postprocess")
def test_templates_are_sandboxed() -> None:
    error = answer_of("{{ text.__class__.__mro__ }}").error
    assert error is not None
    assert "unsafe" in error


def test_what_failed_is_left_alone() -> None:
    failed = Answer("", [], -1.0, "too long")
    assert postprocess.apply("{{ text }}", REQUEST, failed) is failed
    assert postprocess.apply("{{ text }}", REQUEST, None) is None


def test_a_template_that_is_none_is_told_before_an_engine_starts() -> None:
    postprocess.check(None)
    with pytest.raises(JobError, match="postprocess is no template, line 1") as caught:
        postprocess.check("{{ text")
    assert caught.value.reason == "OptionInvalid"
