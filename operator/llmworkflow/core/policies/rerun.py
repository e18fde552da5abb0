"""A stage runs again although it is done: as someone or the schedule asks for it, or because what it made is gone."""

from llmworkflow.api.names import Reason
from llmworkflow.api.status import StageState, StageStatus
from llmworkflow.core.graph import references
from llmworkflow.core.policies.retry import end_attempt, stop
from llmworkflow.core.view import View, verdict_of

_S = StageState
_DONE = (_S.CHECKING, _S.AWAITING_APPROVAL, _S.SUCCEEDED)
UP = (_S.SERVING, _S.UPGRADING, _S.DEGRADED)


def again(view: View, reason: str, message: str) -> StageStatus:
    """The stage before another attempt; what serves goes on serving, open to what will be made."""
    status = view.status
    if status.serving is None or status.state not in UP:
        return rerun(view, reason, message)
    return status.model_copy(update={"refused": None, "failures": 0, "approval": None})


def rerun(view: View, reason: str, message: str) -> StageStatus:
    """The stage before a new attempt of the same revision, its failures and its result forgotten."""
    status = view.status
    ended = end_attempt(view, reason, message)
    forgotten = ended.model_copy(
        update={
            "failures": 0,
            "retry_at": None,
            "refused": None,
            "approval": None,
            "reused": False,
            "judged": None,
            "artifact": None,
            "metrics": {},
            "finished_at": None,
            "misses": [],
            "results": [result for result in status.results if result.revision != status.revision],
        }
    )
    return stop(view, forgotten, reason, message)


def remake(view: View) -> StageStatus | None:
    """A reader did not find what this stage made: make it again."""
    status, world = view.status, view.world
    if status.state is not _S.SUCCEEDED or status.artifact is None:
        return None
    for stage in world.workflow.spec.stages:
        reader = world.stages[stage.name]
        if view.stage.name in references(stage) and status.artifact.uri in reader.misses:
            message = f"stage {reader.name} did not find {status.artifact.uri}"
            return rerun(view, Reason.ARTIFACT_MISSING, message)
    return None


def reread(view: View) -> StageStatus | None:
    """What this stage read was made anew since: what is built upon now was never judged by it."""
    if view.status.state not in _DONE or view.verdict is None:
        return None
    for name, attempt in view.verdict.read.items():
        stage = view.world.stages.get(name)
        made = verdict_of(stage) if stage else None
        # A number may be that of another attempt once as many as the status keeps have come after it.
        if made and (made.attempt != attempt or made.finished_at > view.verdict.finished_at):
            message = f"stage {name} was made anew after this one read it"
            return rerun(view, Reason.ARTIFACT_MISSING, message)
    return None


def read_by(view: View) -> dict[str, int]:
    """Attempts of all stages that the work builds upon, also of those that its inputs were made from, by name."""
    found: dict[str, int] = {}
    for name in references(view.stage):
        stage = view.world.stages[name]
        if stage.serving:
            found |= {served: verdict.attempt for served, verdict in stage.serving.inputs.items()}
        if verdict := verdict_of(stage):
            found |= {**verdict.read, name: verdict.attempt}
    return found
