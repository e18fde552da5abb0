"""What a person may ask for now, and how it is written: the annotations that `core.requests` reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llmworkflow.api.names import ANNOTATION_NOTE, ANNOTATION_USER, Reason, Verb
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageState, StageStatus
from llmworkflow.core.promotions import offered
from llmworkflow.core.requests import EVERY_STAGE, Request, pending
from llmworkflow.core.revision import revisions
from llmworkflow.core.view import verdict_of

_S = StageState
_UP = (_S.SERVING, _S.UPGRADING, _S.DEGRADED)
_ENDED = (_S.SUCCEEDED, _S.FAILED, _S.CANCELLED)


class NothingToDoError(Exception):
    """What was asked for does not fit where the workflow stands; the message says where that is."""


@dataclass(frozen=True)
class _Rule:
    """Which stages a verb is for, and how one says so."""

    fits: Callable[[StageStatus], bool]
    done_to: str  # the verb's past participle
    needs: str  # of a stage that it fits


def ask(
    workflow: LLMWorkflow, status: LLMWorkflowStatus, verb: Verb, stage: str | None, revision: str = ""
) -> tuple[str, str]:
    """The stage (or every stage) and what of it a person means by a verb, with or without a stage's name.

    Raises:
        NothingToDoError: no stage of this name, none that fits, several that fit, or another request is still to
            be carried out.
    """
    _refuse_second(workflow, status, verb)
    named = _named(workflow, status, verb, stage)
    if verb is Verb.ROLLBACK:
        _refuse_unserved(status, named, revision)
    if verb in (Verb.ROLLBACK, Verb.RETRY):
        return named, revision
    if verb is Verb.CANCEL:
        return named, next(item.revision or "" for item in status.stages if item.name == named)
    return named, decided_on(workflow, status, named)


def decided_on(workflow: LLMWorkflow, status: LLMWorkflowStatus, stage: str) -> str:
    """What a decision is about: the revision that a job made, or digest of what a service is to be brought to."""
    known = {item.name: item for item in status.stages}
    wanted = next((item for item in workflow.spec.stages if item.name == stage), None)
    asked = revisions(workflow, status.resolved).get(stage, "")
    if wanted and wanted.serve:
        return offered(wanted, asked, known)
    return known[stage].revision or asked


def awaits_decision(stage: StageStatus) -> bool:
    """Whether a person is asked; a stage that serves is so by its reason, as it goes on serving."""
    return stage.state is _S.AWAITING_APPROVAL or stage.reason == Reason.APPROVAL


def annotations(
    verb: Verb, stage: str, revision: str, token: str, user: str, note: str = ""
) -> dict[str, str]:
    """The request as annotations of the resource. The token tells it from an earlier, equal one."""
    return {
        verb.annotation: f"{stage}@{revision}#{token}",
        ANNOTATION_USER: user,
        ANNOTATION_NOTE: note,
    }


def waiting(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> list[Request]:
    """What was asked for and is still to be carried out."""
    return list(pending(workflow.metadata, status.last_handled, verified=False))


def tried_again(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> list[str]:
    """The stages that whoever runs an unchanged file again wants tried again: those whose work failed.

    What a gate or a person judged stays judged, and what was cancelled stays cancelled.
    """
    wanted = revisions(workflow, status.resolved)
    return [
        stage.name
        for stage in status.stages
        if stage.state is _S.FAILED
        and stage.reason != Reason.REJECTED
        and stage.revision == wanted.get(stage.name)
        and verdict_of(stage) is None
    ]


def run_again(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> str | None:
    """The stage (or every stage) to be retried by another run; nothing where nothing failed, or a retry waits.

    A request is about one stage or about all that ended badly. Where some of those are to stay as they are, the next
    stage has its turn at the next run.
    """
    again = tried_again(workflow, status)
    if not again or any(request.verb is Verb.RETRY for request in waiting(workflow, status)):
        return None
    retried = [stage.name for stage in status.stages if _RULES[Verb.RETRY].fits(stage)]
    return EVERY_STAGE if again == retried else again[0]


def _named(workflow: LLMWorkflow, status: LLMWorkflowStatus, verb: Verb, stage: str | None) -> str:
    rule, name = _RULES[verb], workflow.metadata.name
    known = {item.name: item for item in status.stages}
    if stage is None:
        return _only(name, verb, [item for item in status.stages if rule.fits(item)], status.stages)
    if all(item.name != stage for item in workflow.spec.stages):
        names = ", ".join(item.name for item in workflow.spec.stages)
        raise NothingToDoError(f"{name} has no stage {stage}; its stages are {names}")
    if stage not in known:
        raise NothingToDoError(f"stage {stage} of {name} has not begun: there is nothing to {verb}")
    if verb is not Verb.RETRY and not rule.fits(known[stage]):
        raise NothingToDoError(
            f"stage {stage} of {name} {rule.needs}: it {_where(known[stage])}, so it cannot be {rule.done_to}"
        )
    return stage


def _only(name: str, verb: Verb, fitting: Sequence[StageStatus], stages: Sequence[StageStatus]) -> str:
    """The stage that is meant where none was named."""
    if verb is Verb.RETRY and fitting:
        return EVERY_STAGE
    if len(fitting) == 1:
        return fitting[0].name
    if fitting:
        raise NothingToDoError(
            f"{name} has several stages to {verb}: name one of {', '.join(item.name for item in fitting)}"
        )
    stand = ", ".join(f"{item.name} {_where(item)}" for item in stages) or "it has not begun"
    raise NothingToDoError(f"{name} has no stage to {verb}: {stand}")


def _refuse_second(workflow: LLMWorkflow, status: LLMWorkflowStatus, verb: Verb) -> None:
    """The resource holds one request of a verb: another one would take the place of what nobody has seen yet."""
    for request in waiting(workflow, status):
        if request.verb is verb:
            raise NothingToDoError(
                f"{verb} of stage {request.stage} was asked for and waits to be carried out: by the operator of "
                "its cluster, or on one machine by `llmworkflow run`"
            )


def _refuse_unserved(status: LLMWorkflowStatus, stage: str, revision: str) -> None:
    """There must be something to go back to; of an upgrade under way that is what serves."""
    before = [old.revision for old in status.history if old.stage == stage]
    serves = [item.serving.revision for item in status.stages if item.name == stage and item.serving]
    served = list(dict.fromkeys([*before, *serves]))
    if revision and revision not in served:
        raise NothingToDoError(
            f"stage {stage} never served revision {revision}; it served {', '.join(served)}"
        )
    if any(item.name == stage and item.candidate for item in status.stages):
        return
    if revision in serves:
        raise NothingToDoError(
            f"stage {stage} serves revision {revision} already; without a revision it goes back to the one before"
        )
    if not before:
        raise NothingToDoError(f"stage {stage} served nothing before: there is nothing to go back to")


def _where(stage: StageStatus) -> str:
    return f"is {stage.state}" + (f" ({stage.reason})" if stage.reason else "")


def _decidable(stage: StageStatus) -> bool:
    """A rejection can be taken back."""
    return awaits_decision(stage) or stage.reason == Reason.REJECTED


_RULES: Mapping[Verb, _Rule] = {
    Verb.APPROVE: _Rule(_decidable, "approved", "does not await approval"),
    Verb.REJECT: _Rule(awaits_decision, "rejected", "does not await approval"),
    Verb.RETRY: _Rule(
        lambda stage: stage.state in (_S.FAILED, _S.CANCELLED) or stage.refused is not None,
        "retried",
        "did not fail",
    ),
    Verb.CANCEL: _Rule(lambda stage: stage.state not in _ENDED, "cancelled", "has ended"),
    Verb.ROLLBACK: _Rule(lambda stage: stage.state in _UP, "rolled back", "serves nothing now"),
}
