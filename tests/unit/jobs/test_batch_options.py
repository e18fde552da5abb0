"""A field that these jobs cannot carry out is refused by its name, its value and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs import batch_options
from llmworkflow_jobs.errors import JobError


def test_the_defaults_are_taken(stage_config: Callable[..., dict[str, Any]]) -> None:
    batch_options.check(stage_config("batch")["batch"])


@pytest.mark.parametrize(
    ("path", "value", "remedy"),
    [
        ("sampling.column", "how", "it is for texts"),
        ("turns", ["and why?"], "it is for texts"),
    ],
)
def test_what_cannot_be_done_is_refused(
    stage_config: Callable[..., dict[str, Any]], path: str, value: Any, remedy: str
) -> None:
    section = stage_config("batch", task="embed")["batch"]
    *above, name = path.split(".")
    target = section
    for part in above:
        target = target[part]
    target[name] = value
    with pytest.raises(JobError, match=remedy) as caught:
        batch_options.check(section)
    assert caught.value.reason == "OptionInvalid"
    assert f"batch.{path} is {value!r}" in caught.value.message
