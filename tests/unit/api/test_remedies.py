"""There is something to do about every reason."""

from __future__ import annotations

import re

from llmworkflow.api.names import JobReason, PendingReason, Reason
from llmworkflow.api.reference import page as reference
from llmworkflow.api.remedies import REMEDIES, page

WORDS = [*Reason, *PendingReason, *JobReason]


def test_every_reason_has_a_remedy_and_every_remedy_a_reason() -> None:
    assert set(map(str, WORDS)) == set(map(str, REMEDIES))
    assert all(remedy.endswith(".") for remedy in REMEDIES.values())


def test_the_page_has_each_once_a_list() -> None:
    rows = re.findall(r"^\| `(\w+)`", page(), re.MULTILINE)
    assert rows == [str(word) for word in WORDS]


def test_fields_that_remedies_name_are_in_the_reference() -> None:
    known = set(re.findall(r"\w+", reference()))
    own = {"jobs", "accelerators", "podSecurityContext", "rayVersion"}  # of the chart
    named = {
        word
        for remedy in REMEDIES.values()
        for quoted in re.findall(r"`([\w.]+)(?:: [\w]+)?`", remedy)
        for word in quoted.split(".")
    }
    assert named - known - own - {"reject", "retry", "module", "function"} == set()
