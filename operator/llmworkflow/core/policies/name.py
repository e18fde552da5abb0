"""The name of a stage's child may be taken: by a predecessor, for a while, or by somebody else."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.commands import retry_from
from llmworkflow.core.policies.hold import Hold
from llmworkflow.core.states import move
from llmworkflow.core.view import View

_S = StageState


def taken(view: View) -> Hold | None:
    """Wait for a predecessor to go; leave what is somebody else's alone."""
    named = view.named
    if named is None or view.world.owns(named):
        return None
    if named.terminating or named.owner_name == view.world.workflow.metadata.name:
        message = f"{named.kind} {named.name} of an older workflow of this name is still being removed"
        return Hold(_S.WAITING, Reason.NAME_BUSY, message)
    name = view.stage.name
    return Hold(
        _S.FAILED,
        Reason.NAME_TAKEN,
        f"{named.kind} {named.name} belongs to {named.owner_name or 'no workflow'}; "
        f"rename stage {name}, or delete it and run `{retry_from(view.metadata, name)}`",
    )


def name_taken(view: View) -> StageStatus | None:
    """The child that was requested could not be made."""
    hold = taken(view)
    if view.status.state is not _S.STARTING or hold is None:
        return None
    return move(view.status, hold.state, hold.reason, hold.message)
