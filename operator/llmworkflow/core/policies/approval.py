"""A person's consent, asked for after the gates; for a serving stage before anything is promoted."""

from llmworkflow.api.names import Reason, Verb
from llmworkflow.api.status import ApprovalRecord, StageState, StageStatus
from llmworkflow.core.commands import retry_from
from llmworkflow.core.promotions import offered
from llmworkflow.core.requests import Request
from llmworkflow.core.states import clip, move
from llmworkflow.core.view import View

_S = StageState


def decide(view: View, request: Request) -> StageStatus | None:
    """Record a decision on what waits for one, or a change of mind on what was rejected."""
    status, world = view.status, view.world
    revision = view.revision if view.stage.serve else status.revision
    digest = offered(view.stage, view.revision, world.stages) if view.stage.serve else None
    if revision is None or request.revision != (digest or revision) or not _open(status):
        return None
    record = ApprovalRecord(
        approved=request.verb is Verb.APPROVE,
        revision=revision,
        digest=digest,
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


def consented(view: View, what: str | None) -> bool:
    """Whether a person said yes to the revision of a job, or to the promotion by its digest."""
    record = view.status.approval
    return record is not None and record.approved and _decided_on(record) == what


def rejected(view: View, what: str | None) -> str | None:
    """What to say where a person said no to it."""
    status, record = view.status, view.status.approval
    if record is None or record.approved or _decided_on(record) != what:
        return None
    by = record.user or "an unnamed user"
    why = f" ({record.note})" if record.note else ""
    remedy = f"edit the spec, approve it after all, or run `{retry_from(view.metadata, status.name)}`"
    return f"rejected by {by}{why}; {remedy}"


def _decided_on(record: ApprovalRecord) -> str:
    return record.digest or record.revision


def _open(status: StageStatus) -> bool:
    """Whether there is something to decide on."""
    return status.state is _S.AWAITING_APPROVAL or status.reason in (Reason.APPROVAL, Reason.REJECTED)
