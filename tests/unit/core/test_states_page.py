"""The page of the states."""

from __future__ import annotations

from llmworkflow.core import states_page
from llmworkflow.core.states import TRANSITIONS


def test_the_tables_have_every_step() -> None:
    rows = [line for line in states_page.page().splitlines() if line.startswith("| ")]
    events = [row.split(" | ")[1].removesuffix(" |") for row in rows if row != "| then | when |"]
    assert sorted(events) == sorted(TRANSITIONS.values())


def test_the_picture_has_every_step_but_interruptions() -> None:
    drawn = {tuple(line.split(" --> ")) for line in states_page.page().splitlines() if " --> " in line}
    steps = {(f"    {before}", str(after)) for before, after in TRANSITIONS}
    assert drawn - {("    [*]", "Waiting")} == {
        step for step in steps if step[1] not in states_page.INTERRUPTIONS
    }
