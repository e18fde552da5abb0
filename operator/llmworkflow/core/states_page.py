"""The page of the states of a stage, made from their table."""

from collections.abc import Iterator

from llmworkflow.api.status import StageState
from llmworkflow.core.states import TRANSITIONS

INTERRUPTIONS = (StageState.WAITING, StageState.QUEUED, StageState.STOPPING, StageState.CANCELLED)
"""Where nearly every state leads when people or the cluster interfere: drawn, they would hide all the rest."""

_INTRODUCTION = """# States of a stage

One table, `core/states.py`, has every step that a stage may take; the operator and the command refuse any other.
Nearly every state also leads to one of the following when it is suspended, edited, retried, cancelled or preempted;
the picture leaves that out, and the tables below have it: {left_out}.
"""


def page() -> str:
    """The picture, and all steps by the state that they start from."""
    introduction = _INTRODUCTION.format(left_out=", ".join(INTERRUPTIONS))
    return "\n".join([introduction, *_picture(), *(line for state in StageState for line in _section(state))])


def _picture() -> Iterator[str]:
    yield "```mermaid\nstateDiagram-v2\n    direction LR"
    yield f"    [*] --> {StageState.WAITING}"
    for before, after in TRANSITIONS:
        if after not in INTERRUPTIONS:
            yield f"    {before} --> {after}"
    yield "```\n"


def _section(state: StageState) -> Iterator[str]:
    yield f"## {state}\n\n{state.meaning}\n\n| then | when |\n|---|---|"
    yield from (f"| {after} | {event} |" for (before, after), event in TRANSITIONS.items() if before is state)
    yield ""
