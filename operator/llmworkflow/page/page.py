"""What the page says: everything in it, decided before any markup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmworkflow.api.names import Verb
from llmworkflow.api.status import LLMWorkflowStatus, Promotion, StageStatus
from llmworkflow.core.asking import awaits_decision, decided_on
from llmworkflow.core.clock import stamp
from llmworkflow.core.commands import command
from llmworkflow.page.comparison import Outcome, Prompt
from llmworkflow.page.contenders import Role
from llmworkflow.page.evaluation import Evaluation, Standing, evaluations
from llmworkflow.page.lineage import Cost, Origin, costs, origins
from llmworkflow.page.sources import Sources
from llmworkflow.page.training import Training, trainings


@dataclass(frozen=True)
class Decision:
    """What a person is asked, and how they answer."""

    stage: str
    revision: str
    approve: str  # commands
    reject: str


@dataclass(frozen=True)
class Figure:
    """One number to see first."""

    label: str
    value: str
    note: str = ""
    tone: str = ""  # good, bad or none


@dataclass(frozen=True)
class Page:
    """The whole page."""

    name: str
    namespace: str
    phase: str
    made: str
    message: str
    decisions: Sequence[Decision]
    figures: Sequence[Figure]
    evaluations: Sequence[Evaluation]
    trainings: Sequence[Training]
    costs: Sequence[Cost]
    origins: Sequence[Origin]
    serving: Promotion | None
    history: Sequence[Promotion]
    pinned_inputs: Mapping[str, str]
    code_digest: str
    absent: Sequence[str]

    @property
    def gpu_hours(self) -> float:
        """Of the latest attempts of all stages."""
        return sum(cost.gpu_hours for cost in self.costs)


def page_of(sources: Sources, prompt: Prompt) -> Page:
    """The page of a workflow; `prompt` makes a row's messages as the jobs did."""
    metadata, status = sources.workflow.metadata, sources.status
    found = list(evaluations(sources, prompt))
    spent = list(costs(sources))
    return Page(
        name=metadata.name,
        namespace=metadata.namespace,
        phase=status.phase,
        made=stamp(sources.now),
        message=_message(status),
        decisions=[_decision(sources, stage) for stage in status.stages if awaits_decision(stage)],
        figures=[figure for item in found for figure in _figures(item)],
        evaluations=found,
        trainings=list(trainings(sources)),
        costs=spent,
        origins=list(origins(sources)),
        serving=status.serving,
        history=status.history,
        pinned_inputs=status.resolved.inputs,
        code_digest=status.resolved.code_digest or "",
        absent=sources.absent,
    )


def _message(status: LLMWorkflowStatus) -> str:
    """Why the workflow stands where it stands, by the stage to look at."""
    stage = next((item for item in status.stages if item.name == status.stage), None)
    return f"{stage.name} is {stage.state}" + (f": {stage.message}" if stage.message else "") if stage else ""


def _decision(sources: Sources, stage: StageStatus) -> Decision:
    metadata = sources.workflow.metadata
    approve, reject = (
        command(metadata, verb, stage.name, "--note 'why'") for verb in (Verb.APPROVE, Verb.REJECT)
    )
    revision = decided_on(sources.workflow, sources.status, stage.name)
    return Decision(stage.name, revision, approve, reject)


def _figures(evaluation: Evaluation) -> Sequence[Figure]:
    """The candidate's score, what it gains or loses, and what failed."""
    score = evaluation.scores[0]
    by_role = {item.role: item for item in score.standings}
    candidate = by_role.get(Role.CANDIDATE)
    if candidate is None:
        return []
    figures = [Figure(f"{evaluation.stage}: {score.metric}", _value(candidate), interval_of(candidate))]
    opponent = by_role.get(Role.INCUMBENT) or by_role.get(Role.BASE)
    if opponent and opponent.metric.value is not None and candidate.metric.value is not None:
        gain = candidate.metric.value - opponent.metric.value
        tone = "good" if gain > 0 else "bad" if gain < 0 else ""
        which = f"revision {opponent.revision}" if opponent.revision else "the same job"
        note = f"{_value(opponent)} by {which}"
        figures.append(Figure(f"against {opponent.role}", f"{gain:+.3f}", note, tone))
    if evaluation.comparison:
        counts = evaluation.comparison.counts
        figures.append(
            Figure(
                "rows lost / won",
                f"{counts[Outcome.LOST]} / {counts[Outcome.WON]}",
                f"{counts[Outcome.UNCHANGED]} unchanged",
                "bad" if counts[Outcome.LOST] > counts[Outcome.WON] else "",
            )
        )
    failed, cut = candidate.metric.errors or 0, candidate.metric.truncated or 0
    figures.append(Figure("errors / truncated", f"{failed} / {cut}", f"of {candidate.metric.n or 0} rows"))
    return figures


def interval_of(standing: Standing) -> str:
    """The interval and how many rows it rests on."""
    metric = standing.metric
    rows = f"n = {metric.n}" if metric.n is not None else ""
    if metric.low is None or metric.high is None:
        return rows
    return f"{metric.low:.3f} to {metric.high:.3f}, {rows}".rstrip(", ")


def _value(standing: Standing) -> str:
    value = standing.metric.value
    return "none" if value is None else f"{value:.3f}"
