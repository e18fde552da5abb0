"""Gates: bounds on what a stage measured, judged from kept metrics, so that an edit of a bound runs nothing."""

from dataclasses import dataclass

from llmworkflow.api.names import Reason
from llmworkflow.api.spec.stage import Gate
from llmworkflow.api.status import Comparison, Metric, StageState, StageStatus
from llmworkflow.core.commands import retry_from
from llmworkflow.core.policies.approval import consented, rejected
from llmworkflow.core.policies.incumbent import BASE, SERVING, incumbent, serves_this
from llmworkflow.core.revision import digest
from llmworkflow.core.states import explain, move
from llmworkflow.core.view import View

_S = StageState
_JUDGED = (_S.AWAITING_APPROVAL, _S.SUCCEEDED, _S.FAILED)


@dataclass(frozen=True)
class Objection:
    """What a result lacks."""

    reason: Reason
    message: str


def judge(view: View) -> StageStatus | None:
    """Whether a finished stage may be built upon."""
    status = view.status
    if status.state is not _S.CHECKING or view.verdict is None:
        return None
    if view.suspended:
        return explain(status, Reason.SUSPENDED, "its gates stay closed while the workflow is suspended")
    judged = status.model_copy(update={"judged": bounds(view)})
    if objection := first_objection(view):
        return move(judged, _S.FAILED, objection.reason, objection.message)
    if rejection := rejected(view, status.revision):
        return move(judged, _S.FAILED, Reason.REJECTED, rejection)
    if view.stage.approval.required and not consented(view, status.revision):
        message = f"approve {status.name}@{status.revision} to go on, or reject it"
        return move(judged, _S.AWAITING_APPROVAL, Reason.APPROVAL, message)
    return move(judged, _S.SUCCEEDED, Reason.REUSED if status.reused else Reason.COMPLETED, _passed(view))


def judge_again(view: View) -> StageStatus | None:
    """The bounds were edited: a finished stage is judged by the new ones."""
    status = view.status
    if status.state not in _JUDGED or view.verdict is None or view.suspended:
        return None
    if status.judged is None or status.judged == bounds(view):
        return None
    return move(status, _S.CHECKING, Reason.CHECKING, "its gates were edited")


def bounds(view: View) -> str:
    """Digest of everything that a result is judged by; what a newer version adds at its default is no edit."""
    stage = view.stage
    scoring = stage.batch.evaluate if stage.batch else None
    return digest(
        {
            "gates": [gate.model_dump(mode="json", exclude_defaults=True) for gate in stage.gates],
            "approval": stage.approval.model_dump(mode="json", exclude_defaults=True),
            "minRows": scoring.min_rows if scoring else None,
            "maxErrorRate": scoring.max_error_rate if scoring else None,
        }
    )


def first_objection(view: View) -> Objection | None:
    """The first bound that the metrics do not hold: those on their soundness, then the gates in order."""
    if objection := _unsound(view):
        return objection
    return next((found for gate in view.stage.gates if (found := _check(view, gate))), None)


def _unsound(view: View) -> Objection | None:
    """Too few rows, or too many of them failed, for any score to mean something."""
    scoring = view.stage.batch.evaluate if view.stage.batch else None
    if scoring is None:
        return None
    for name in scoring.metrics:
        metric = view.status.metrics.get(name, Metric())
        rows, errors = metric.n or 0, metric.errors or 0
        if scoring.min_rows is not None and rows < scoring.min_rows:
            message = f"{name} was measured on {rows} rows, evaluate.minRows asks for {scoring.min_rows}"
            return Objection(Reason.TOO_FEW_ROWS, message)
        if scoring.max_error_rate is not None and errors > scoring.max_error_rate * rows:
            message = (
                f"{errors} of {rows} rows failed, evaluate.maxErrorRate allows {scoring.max_error_rate:g}"
            )
            return Objection(Reason.TOO_MANY_ERRORS, f"{message}; see the column of errors in the rows")
    return None


def _check(view: View, gate: Gate) -> Objection | None:
    metric = view.status.metrics.get(gate.metric)
    if metric is None or metric.value is None:
        known = ", ".join(sorted(view.status.metrics)) or "none"
        value = "is not a number" if metric else "was not measured"
        why = (metric and metric.message) or f"measured: {known}"
        return Objection(Reason.METRIC_MISSING, f"metric {gate.metric} {value}; {why}")
    if gate.min is not None and metric.value < gate.min:
        return Objection(Reason.GATE_NOT_MET, f"{gate.metric} {metric.value:.6g} < {gate.min:g}")
    if gate.max is not None and metric.value > gate.max:
        return Objection(Reason.GATE_NOT_MET, f"{gate.metric} {metric.value:.6g} > {gate.max:g}")
    return _compare(view, gate, gate.better_than, metric) if gate.better_than else None


def _compare(view: View, gate: Gate, target: str, metric: Metric) -> Objection | None:
    """The candidate must be better by more than `by`, at the confidence of the job's interval."""
    comparison = _comparison(view, target, metric)
    if comparison is None or not comparison.comparable or comparison.low is None:
        return Objection(Reason.INCOMPARABLE, _incomparable(view, gate, target, comparison))
    measured = comparison.confidence or gate.confidence
    if comparison.low > gate.by and measured >= gate.confidence:
        return None
    if measured != gate.confidence:
        return Objection(
            Reason.INCOMPARABLE,
            f"{gate.metric} was compared with {target} at {100 * measured:g} %, the gate asks for "
            f"{100 * gate.confidence:g} %; run `{retry_from(view.metadata, view.stage.name)}`",
        )
    bounds = (comparison.difference, comparison.low, comparison.high)
    difference, low, high = ("unknown" if bound is None else f"{bound:+.4g}" for bound in bounds)
    return Objection(
        Reason.GATE_NOT_MET,
        f"{gate.metric} is {difference} against {target}, between {low} and {high} at "
        f"{100 * gate.confidence:g} %; more than {gate.by:g} is asked for",
    )


def _incomparable(view: View, gate: Gate, target: str, comparison: Comparison | None) -> str:
    if comparison and comparison.message:
        remedy = "measure both alike, or compare with base"
        if target == SERVING:  # after that what serves was measured as its successors are
            remedy += " for one promotion, and with serving again after it"
        return f"{gate.metric} cannot be compared with {target}: {comparison.message}; {remedy}"
    return (
        f"{gate.metric} was not compared with {target} on the same rows by the same evaluation; "
        f"run `{retry_from(view.metadata, view.stage.name)}` to compare with what is there now"
    )


def _comparison(view: View, target: str, metric: Metric) -> Comparison | None:
    """What was measured against the target, if it is still the one that counts."""
    if target == SERVING and serves_this(view):
        return metric.comparisons.get(SERVING) or metric.comparisons.get(BASE)
    found = incumbent(view, target)
    if found is None:
        return None
    name, expected = found
    comparison = metric.comparisons.get(name)
    if comparison and comparison.incumbent_revision not in (None, expected.revision):
        return None
    return comparison


def _passed(view: View) -> str:
    """The scores that passed, for people."""
    gated = {gate.metric: view.status.metrics[gate.metric].value for gate in view.stage.gates}
    return ", ".join(f"{name} {value:.4g}" for name, value in gated.items())
