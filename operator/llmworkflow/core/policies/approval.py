"""A person's consent, asked for after the gates; for a serving stage before anything is promoted."""

from llmworkflow.api.names import Reason, Verb
from llmworkflow.api.status import ApprovalRecord, StageState, StageStatus
from llmworkflow.core.requests import Request
from llmworkflow.core.states import clip, move
from llmworkflow.core.view import View

_S = StageState


def decide(view: View, request: Request) -> StageStatus | None:
    """Record a decision on what waits for one, or a change of mind on what was rejected."""
    status = view.status
    revision = view.revision if view.stage.serve else status.revision
    if request.revision != revision or not _open(status):
        return None
    record = ApprovalRecord(
        approved=request.verb is Verb.APPROVE,
        revision=revision,
        user=request.user,
        verified=request.verified,
        time=view.time,
        note=clip(request.note),
    )
    decided = status.model_copy(update={"approval": record})
    if status.state is _S.FAILED:
        return move(decided, _S.CHECKING if view.verdict else _S.WAITING, Reason.CHECKING)
    return decided


def approve(view: View) -> StageStatus | None:
    """Go on with what was consented to, or end what was rejected."""
    status = view.status
    if status.state is not _S.AWAITING_APPROVAL or view.suspended or view.verdict is None:
        return None
    if rejection := rejected(view, status.revision):
        return move(status, _S.FAILED, Reason.REJECTED, rejection)
    if consented(view, status.revision):
        by = status.approval.user if status.approval else ""
        return move(status, _S.SUCCEEDED, Reason.COMPLETED, f"approved by {by or 'an unnamed user'}")
    return None


def consented(view: View, revision: str | None) -> bool:
    """Whether a person said yes to the revision."""
    record = view.status.approval
    return record is not None and record.approved and record.revision == revision


def rejected(view: View, revision: str | None) -> str | None:
    """What to say where a person said no to the revision."""
    status, record = view.status, view.status.approval
    if record is None or record.approved or record.revision != revision:
        return None
    by = record.user or "an unnamed user"
    why = f" ({record.note})" if record.note else ""
    return f"rejected by {by}{why}; edit the spec, approve it after all, or run `retry --from {status.name}`"


def _open(status: StageStatus) -> bool:
    """Whether there is something to decide on."""
    return status.state is _S.AWAITING_APPROVAL or status.reason in (Reason.APPROVAL, Reason.REJECTED)
