"""Who is compared with whom: the candidate of a scored stage, what served before it, and the base model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from llmworkflow.api.spec.batch import Batch
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import Artifact, LLMWorkflowStatus, Metric, Promotion, StageStatus, Verdict
from llmworkflow.core.graph import dependents
from llmworkflow.core.view import verdict_of


class Role(StrEnum):
    """The part that a model has in a comparison."""

    CANDIDATE = "candidate"
    INCUMBENT = "incumbent"
    BASE = "base"


@dataclass(frozen=True)
class Contender:
    """One evaluation of one model."""

    role: Role
    stage: str
    revision: str
    metrics: Mapping[str, Metric]
    artifact: Artifact | None

    @property
    def uri(self) -> str:
        """Where its rows lie."""
        return self.artifact.uri if self.artifact else ""


@dataclass(frozen=True)
class Trial:
    """A scored stage and who was measured by it; the candidate comes first, as far as there is one."""

    stage: Stage
    contenders: tuple[Contender, ...]

    def by_role(self, role: Role) -> Contender | None:
        """The contender of a role."""
        return next((item for item in self.contenders if item.role is role), None)


def trials(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> list[Trial]:
    """The scored stages; one that scores the base model alone is part of the others, if there are others."""
    scored = [stage for stage in workflow.spec.stages if stage.batch and stage.batch.evaluate]
    tuned = [stage for stage in scored if not _is_base(stage)] or scored
    return [Trial(stage, tuple(_contenders(workflow, status, stage))) for stage in tuned]


def _contenders(workflow: LLMWorkflow, status: LLMWorkflowStatus, stage: Stage) -> Iterator[Contender]:
    stages = {item.name: item for item in status.stages}
    own = stages.get(stage.name)
    verdict = verdict_of(own) if own else None
    if verdict:
        yield _contender(Role.CANDIDATE, stage.name, verdict)
    for promotion in _promotions(workflow, status, stage.name):
        before = promotion.inputs.get(stage.name)
        if before and own and not _same(before, verdict):
            yield _contender(Role.INCUMBENT, stage.name, before, _kept(own, before) or before.metrics)
            break
    for other in workflow.spec.stages:
        if other is not stage and _is_base(other) and _same_input(other, stage):
            found = verdict_of(stages[other.name]) if other.name in stages else None
            if found:
                yield _contender(Role.BASE, other.name, found)


def _contender(
    role: Role, stage: str, verdict: Verdict, metrics: Mapping[str, Metric] | None = None
) -> Contender:
    return Contender(role, stage, verdict.revision, metrics or verdict.metrics, verdict.artifact)


def _promotions(workflow: LLMWorkflow, status: LLMWorkflowStatus, stage: str) -> Iterator[Promotion]:
    """What serves after a stage, and what served before, the latest first."""
    after = dependents(workflow.spec, stage)
    yield from (item.serving for item in status.stages if item.name in after and item.serving)
    yield from (old for old in status.history if old.stage in after)


def _kept(status: StageStatus, before: Verdict) -> Mapping[str, Metric] | None:
    """The metrics of an earlier result, where the stage still has it: a promotion names those of gates alone."""
    return next((item.metrics for item in status.results if _same(item, before)), None)


def _same(one: Verdict, other: Verdict | None) -> bool:
    return other is not None and (one.revision, one.attempt) == (other.revision, other.attempt)


def _is_base(stage: Stage) -> bool:
    batch = stage.batch
    return batch is not None and batch.evaluate is not None and batch.model is None and not batch.adapters


def _same_input(one: Stage, other: Stage) -> bool:
    return _input(one.batch) == _input(other.batch)


def _input(batch: Batch | None) -> object:
    return batch.input.model_dump() if batch else None
