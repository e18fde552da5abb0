"""What people ask for by annotations, each carried out once."""

from collections.abc import Callable, Iterator, Mapping

from llmworkflow.api.names import Reason, Verb
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.graph import dependents
from llmworkflow.core.policies.approval import decide
from llmworkflow.core.policies.cancel import cancel
from llmworkflow.core.policies.promotion import bring
from llmworkflow.core.policies.rerun import UP, again
from llmworkflow.core.policies.rollback import roll_back
from llmworkflow.core.requests import EVERY_STAGE, Request
from llmworkflow.core.view import View, World

_S = StageState


def carry_out(world: World, request: Request) -> Iterator[StageStatus]:
    """The stages as the request leaves them; one that does not fit what is there changes nothing."""
    for view in _meant(world, request):
        changed = _ACTIONS[request.verb](view, request)
        if changed is not None:
            yield changed


def _meant(world: World, request: Request) -> list[View]:
    """The stages that the request is about."""
    if request.verb is Verb.RETRY:
        return _retried(world, request)
    names = list(world.specs) if request.stage == EVERY_STAGE else [request.stage]
    views = [world.view(name) for name in names if name in world.specs]
    if request.verb is Verb.ROLLBACK:
        return [view for view in views if view.stage.serve]
    if request.verb is Verb.CANCEL:
        return [view for view in views if _is_current(view, request)]
    return views


def _retried(world: World, request: Request) -> list[View]:
    """The named stage, or all that ended badly; and everything that depends on them."""
    if request.stage == EVERY_STAGE:
        first = {name for name in world.specs if _ended_badly(world.stages[name])}
    else:
        first = {
            name for name in world.specs if name == request.stage and _is_current(world.view(name), request)
        }
    after = {other for name in first for other in dependents(world.workflow.spec, name)}
    return [world.view(name) for name in world.specs if name in first | after]


def _is_current(view: View, request: Request) -> bool:
    """Whether the person looked at what is there now."""
    return request.revision in ("", view.status.revision, view.revision)


def _ended_badly(status: StageStatus) -> bool:
    return status.state in (_S.FAILED, _S.CANCELLED) or status.refused is not None


def _retry(view: View, request: Request) -> StageStatus:
    """Another attempt; what serves goes on serving, and is brought in again where it was named itself."""
    by = request.user or "an unnamed user"
    message = f"run again, asked for by {by}"
    status, cleared = view.status, again(view, Reason.RETRIED, message)
    if status.serving is None or status.state not in UP or request.stage != status.name:
        return cleared
    return bring(view.now_at(cleared), status.candidate or status.serving, Reason.RETRIED, message)


_ACTIONS: Mapping[Verb, Callable[[View, Request], StageStatus | None]] = {
    Verb.APPROVE: decide,
    Verb.REJECT: decide,
    Verb.RETRY: _retry,
    Verb.CANCEL: cancel,
    Verb.ROLLBACK: roll_back,
}
