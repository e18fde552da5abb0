"""What one look at a child tells."""

from dataclasses import dataclass

from llmworkflow.core.observation import ChildPhase


@dataclass(frozen=True, slots=True)
class Look:
    """The phase of a child, and why."""

    phase: ChildPhase
    reason: str = ""
    message: str = ""
    permanent: bool = False
