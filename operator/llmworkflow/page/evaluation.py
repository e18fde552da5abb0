"""How a scored stage came out: the models side by side, its gates, and its rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llmworkflow.api.spec.stage import Gate
from llmworkflow.api.status import Metric
from llmworkflow.page import charts, comparison
from llmworkflow.page.contenders import Role, Trial, trials
from llmworkflow.page.sources import Rows, Sources

SHOWN_ROWS = 50  # of each outcome: what a person can read
SHOWN_ERRORS = 10


@dataclass(frozen=True)
class Standing:
    """One model by one metric."""

    role: str
    stage: str
    revision: str
    metric: Metric
    bar: charts.Bar | None


@dataclass(frozen=True)
class Scores:
    """All models by one metric."""

    metric: str
    standings: Sequence[Standing]
    bounds: Sequence[float]  # of gates, in percent of the bars
    span: tuple[float, float]


@dataclass(frozen=True)
class Judgement:
    """A gate, and whether it holds; None where that is not known."""

    text: str
    found: str
    holds: bool | None


@dataclass(frozen=True)
class Evaluation:
    """A scored stage."""

    stage: str
    scores: Sequence[Scores]
    gates: Sequence[Judgement]
    comparison: comparison.Comparison | None
    errors: Sequence[tuple[str, int]]  # why the candidate's rows failed, and how many
    earlier: Sequence[tuple[str, str, Mapping[str, Metric]]]  # revision, time and metrics of other results

    @property
    def finished(self) -> bool:
        """Whether there is a candidate."""
        return any(item.role == Role.CANDIDATE for score in self.scores for item in score.standings)


def evaluations(sources: Sources, prompt: comparison.Prompt) -> Iterator[Evaluation]:
    """Every scored stage."""
    for trial in trials(sources.workflow, sources.status):
        yield Evaluation(
            stage=trial.stage.name,
            scores=[_scores(sources, trial, metric) for metric in _metrics(trial)],
            gates=[_judge(gate, trial) for gate in trial.stage.gates],
            comparison=_compared(sources, trial, prompt),
            errors=comparison.errors(_rows(sources, trial, Role.CANDIDATE))[:SHOWN_ERRORS],
            earlier=[*_earlier(sources, trial)],
        )


def _metrics(trial: Trial) -> Sequence[str]:
    assert trial.stage.batch and trial.stage.batch.evaluate, "a trial is a scored stage"
    return trial.stage.batch.evaluate.metrics


def _scores(sources: Sources, trial: Trial, name: str) -> Scores:
    measured = [
        (str(item.role), item.stage, item.revision, item.metrics[name])
        for item in trial.contenders
        if name in item.metrics
    ]
    if trial.by_role(Role.BASE) is None and (rows := _rows(sources, trial, Role.BASE)):
        measured.append((str(Role.BASE), trial.stage.name, "", _measured(rows, name)))
    gates = [gate for gate in trial.stage.gates if gate.metric == name]
    bounds = [bound for gate in gates for bound in (gate.min, gate.max) if bound is not None]
    span = charts.span_of([metric for *_, metric in measured], bounds)
    standings = [
        Standing(role, stage, revision, metric, charts.bar(metric, span))
        for role, stage, revision, metric in measured
    ]
    return Scores(name, standings, [charts.place(bound, span) for bound in bounds], span)


def _measured(rows: Rows, name: str) -> Metric:
    """The metric of rows that a job made beside its own, of which the status has no figure."""
    found = [points for row in rows if (points := comparison.points(row, name)) is not None]
    return Metric(
        value=sum(found) / len(rows) if len(found) == len(rows) else None,
        n=len(rows),
        errors=sum(bool(row.get("error")) for row in rows),
        truncated=sum(bool(row.get("truncated")) for row in rows),
    )


def _judge(gate: Gate, trial: Trial) -> Judgement:
    """The gate as a person reads it. What counts is the planner's verdict, which the stage's state tells."""
    candidate = trial.by_role(Role.CANDIDATE)
    metric = candidate.metrics.get(gate.metric) if candidate else None
    if gate.better_than:
        return _judge_comparison(gate, metric)
    value = metric.value if metric else None
    word, bound = ("at least", gate.min) if gate.min is not None else ("at most", gate.max)
    assert bound is not None, "a gate has exactly one bound"
    text = f"{gate.metric} {word} {bound:g}"
    if value is None:
        return Judgement(text, "not measured", None)
    return Judgement(text, charts.number(value), value >= bound if word == "at least" else value <= bound)


def _judge_comparison(gate: Gate, metric: Metric | None) -> Judgement:
    by = f" by more than {gate.by:g}" if gate.by else ""
    text = f"{gate.metric} better than {gate.better_than}{by}, at {100 * gate.confidence:g} %"
    known = metric.comparisons if metric else {}
    found = known.get(gate.better_than or "") or known.get("base")
    if found is None or not found.comparable or found.difference is None or found.low is None:
        return Judgement(text, "not compared", None)
    told = f"{found.difference:+.4g} ({found.low:+.4g} to {found.high or 0.0:+.4g}, n={found.n})"
    return Judgement(text, told, found.low > gate.by)


def _compared(sources: Sources, trial: Trial, prompt: comparison.Prompt) -> comparison.Comparison | None:
    """The candidate's rows against the incumbent's, or where there are none against the base model's."""
    rows = {str(role): found for role in Role if (found := _rows(sources, trial, role))}
    opponent = next((role for role in (Role.INCUMBENT, Role.BASE) if role in rows), None)
    if Role.CANDIDATE not in rows or opponent is None:
        return None
    metric = _metrics(trial)[0]
    return comparison.compare(metric, rows, opponent, prompt, SHOWN_ROWS)


def _rows(sources: Sources, trial: Trial, role: Role) -> Rows:
    contender = trial.by_role(role)
    if contender:
        return sources.rows.get(contender.uri, ())
    candidate = trial.by_role(Role.CANDIDATE)
    return sources.base_rows.get(candidate.uri, ()) if candidate and role is Role.BASE else ()


def _earlier(sources: Sources, trial: Trial) -> Iterator[tuple[str, str, Mapping[str, Metric]]]:
    """Results of the stage beside those that are compared."""
    shown = {(item.stage, item.revision) for item in trial.contenders}
    for stage in sources.status.stages:
        for result in stage.results if stage.name == trial.stage.name else ():
            if (stage.name, result.revision) not in shown:
                yield result.revision, result.finished_at, result.metrics
