"""How fine-tuning went: losses of the latest result, over those of what serves."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llmworkflow.api.status import Artifact, Promotion, StageStatus
from llmworkflow.core.view import verdict_of
from llmworkflow.page import charts
from llmworkflow.page.sources import Rows, Sources

_LOSSES = {"loss": "train loss", "eval_loss": "evaluation loss"}
_FIGURES = {
    "trainLoss": "train loss",
    "evalLoss": "evaluation loss",
    "steps": "steps",
    "trainRows": "rows trained on",
    "evalRows": "rows evaluated",
    "truncatedRows": "rows cut at maxLength",
    "samplesPerSecond": "rows per second",
}


@dataclass(frozen=True)
class Training:
    """A fine-tuning stage."""

    stage: str
    revision: str
    before: str  # revision whose curves are drawn beside, empty where there is none
    curves: charts.Curves | None
    figures: Mapping[str, str]


def trainings(sources: Sources) -> Iterator[Training]:
    """Every fine-tuning stage that finished once."""
    for stage in sources.status.stages:
        if stage.kind == "fineTune" and stage.results:
            yield _training(sources, stage)


def _training(sources: Sources, stage: StageStatus) -> Training:
    current = verdict_of(stage) or stage.results[0]
    earlier = [result for result in stage.results if result is not current]
    drawn = [item for item in earlier if _curve(sources, item.artifact)]
    serving = {item.inputs[stage.name].revision for item in _serving(sources, stage.name)}
    before = next((item for item in drawn if item.revision in serving), next(iter(drawn), None))
    series = [*_series(_curve(sources, current.artifact), "", "now")]
    if before:
        series += _series(_curve(sources, before.artifact), f", revision {before.revision}", "before")
    figures = {
        label: charts.number(metric.value)
        for name, label in _FIGURES.items()
        if (metric := current.metrics.get(name)) and metric.value is not None
    }
    return Training(
        stage.name, current.revision, before.revision if before else "", charts.curves(series), figures
    )


def _serving(sources: Sources, name: str) -> list[Promotion]:
    """What serves a result of the stage."""
    serving = [stage.serving for stage in sources.status.stages if stage.serving]
    return [promotion for promotion in serving if name in promotion.inputs]


def _series(rows: Rows, suffix: str, style: str) -> Iterator[tuple[str, str, Sequence[charts.Point]]]:
    for key, label in _LOSSES.items():
        yield label + suffix, f"{key.replace('_', '-')} {style}", [*_points(rows, key)]


def _points(rows: Rows, key: str) -> Iterator[charts.Point]:
    """Losses that can be drawn: a training that diverged has infinite ones."""
    found = ((row["step"], row.get(key)) for row in rows)
    return ((x, y) for x, y in found if isinstance(y, int | float) and math.isfinite(y))


def _curve(sources: Sources, artifact: Artifact | None) -> Rows:
    return sources.curves.get(artifact.uri, ()) if artifact else ()
