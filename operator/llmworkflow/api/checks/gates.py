"""Gates speak of metrics that their stage measures."""

from collections.abc import Iterator

from llmworkflow.api.graph import INCUMBENTS
from llmworkflow.api.metrics import SHARES, TRAINING_METRICS, is_score
from llmworkflow.api.problems import Path, Problem, did_you_mean
from llmworkflow.api.spec.stage import Gate, Stage
from llmworkflow.api.spec.workflow import LLMWorkflow


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every gate."""
    for position, stage in enumerate(workflow.spec.stages):
        path: Path = ("spec", "stages", position, "gates")
        if stage.gates and stage.kind not in ("batch", "fineTune"):
            yield Problem(
                path,
                f"a {stage.kind} stage has no metrics",
                "put the gates on the batch that scores the model",
            )
            continue
        for place, gate in enumerate(stage.gates):
            yield from _unmeasured((*path, place, "metric"), gate, stage)
            yield from _impossible((*path, place), gate)
            yield from _unread((*path, place), gate)
            if gate.better_than:
                yield from _incomparable((*path, place, "betterThan"), gate, stage, workflow.spec.stages)


def measured(stage: Stage) -> tuple[str, ...]:
    """The metrics that a stage reports."""
    if stage.batch:
        return tuple(stage.batch.evaluate.metrics) if stage.batch.evaluate else ()
    return TRAINING_METRICS if stage.fine_tune else ()


def _unmeasured(path: Path, gate: Gate, stage: Stage) -> Iterator[Problem]:
    known = measured(stage)
    if gate.metric in known:
        return
    if stage.batch and stage.batch.evaluate:
        meant = did_you_mean(gate.metric, filter(is_score, known))
        remedy = ", or ".join(filter(None, ("add it to batch.evaluate.metrics", meant)))
        yield Problem(path, "the stage does not measure this metric", remedy, value=gate.metric)
    elif stage.batch:
        yield Problem(
            path,
            "the stage measures nothing",
            "list the metric under batch.evaluate.metrics",
            value=gate.metric,
        )
    elif stage.fine_tune and stage.fine_tune.engine == "trl":
        yield Problem(
            path, "training reports no such metric", did_you_mean(gate.metric, known), value=gate.metric
        )


def _impossible(path: Path, gate: Gate) -> Iterator[Problem]:
    """A bound outside what a share can be, such as one that is meant in per cent."""
    if gate.metric not in SHARES:
        return
    if gate.min is not None and gate.min > 1:
        told = f"no gate can pass: {gate.metric} is at most 1"
        yield Problem((*path, "min"), told, "write a share, such as 0.65", value=gate.min)
    if gate.max is not None and gate.max < 0:
        told = f"no gate can pass: {gate.metric} is at least 0"
        yield Problem((*path, "max"), told, "write a share, such as 0.65", value=gate.max)


def _unread(path: Path, gate: Gate) -> Iterator[Problem]:
    """What is said of a comparison, where nothing is compared."""
    if gate.better_than:
        return
    for field, value in (("by", gate.by), ("confidence", gate.confidence)):
        if value != Gate.model_fields[field].default:
            told = "a gate that compares with nothing has no use for it"
            yield Problem((*path, field), told, "remove it, or set betterThan", value=value)


def _incomparable(path: Path, gate: Gate, stage: Stage, stages: list[Stage]) -> Iterator[Problem]:
    incumbent = gate.better_than
    if not stage.batch:
        yield Problem(
            path,
            "only the rows of a batch can be compared",
            "put the gate on a batch, or use min or max",
            value=incumbent,
        )
    elif incumbent == "base" and not (stage.batch.model or stage.batch.adapters):
        yield Problem(
            path,
            "the stage answers with the base model itself",
            "set batch.model, or use min",
            value=incumbent,
        )
    elif incumbent not in INCUMBENTS:
        other = next((item for item in stages if item.name == incumbent and item.batch), None)
        if other and gate.metric not in measured(other):
            yield Problem(
                path,
                f"stage {incumbent} does not measure {gate.metric}",
                f"add {gate.metric} to its batch.evaluate.metrics",
                value=incumbent,
            )
