"""The reference page names every field, links to what is there, and explains every word."""

from __future__ import annotations

import re

from llmworkflow.api.fields import fields_of, models_below
from llmworkflow.api.names import ConditionType, JobReason, Reason, Verb
from llmworkflow.api.reference import _ACTIONS_BY_KUBECTL, page
from llmworkflow.api.spec.workflow import WorkflowSpec
from llmworkflow.api.status import LLMWorkflowStatus, StageState

PAGE = page()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
MODELS = [*models_below(WorkflowSpec), *models_below(LLMWorkflowStatus)]


def test_every_field_has_its_row() -> None:
    missing = [
        f"{model.__name__}.{name}"
        for model in MODELS
        for name, _ in fields_of(model)
        if f"\n| `{name}` |" not in SECTIONS[model.__name__]
    ]
    assert missing == []


def test_rows_fit_their_tables() -> None:
    ragged = []
    for table in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE):
        rows = [re.sub(r"\\\|", "", row).count("|") for row in table.splitlines()]
        ragged += [table.splitlines()[0]] if len(set(rows)) > 1 else []
    assert ragged == []


def test_no_prose_is_shown_as_code() -> None:
    assert re.findall(r"^ {4}.*", PAGE.replace(_ACTIONS_BY_KUBECTL, ""), re.MULTILINE) == []


def test_links_lead_somewhere() -> None:
    anchors = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)}
    assert {target for target in re.findall(r"\]\(#([^)]+)\)", PAGE) if target not in anchors} == set()


def test_every_word_is_explained() -> None:
    words = [*StageState, *ConditionType, *Reason, *JobReason]
    assert [word for word in words if f"| `{word}` | {word.meaning} |" not in PAGE] == []
    assert [word for word in words if not word.meaning.endswith(".")] == []
    assert [verb for verb in Verb if f"| `{verb.annotation}` | {verb.meaning} |" not in PAGE] == []


def test_row_tells_type_bounds_default_and_mark() -> None:
    assert "| `rank` | whole number, ≥ 1, ≤ 512 | `8` | result | Rank of the adapter. |" in SECTIONS["Lora"]
    assert "| `memory` | quantity | unset | operational |" in SECTIONS["Resources"]
    assert (
        "| `stages` | list of [Stage](#stage), by name, at most 32 | *required* | result |"
        in SECTIONS["WorkflowSpec"]
    )
    assert "- set exactly one of min, max, betterThan" in SECTIONS["Gate"]
