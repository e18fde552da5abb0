"""Why a stage does not start, as far as one policy is concerned."""

from dataclasses import dataclass

from llmworkflow.api.status import StageState


@dataclass(frozen=True)
class Hold:
    """Where a stage waits, and for what."""

    state: StageState
    reason: str
    message: str
