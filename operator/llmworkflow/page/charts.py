"""The geometry of charts, in percent of the plot: a chart fits any width, and its text does not shrink with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from llmworkflow.api.status import Metric

LOG_RATIO = 30  # losses that span more than this are drawn on a logarithmic scale

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A curve: its path, in percent of the plot from its upper left corner, and its last value."""

    label: str
    style: str
    path: str
    last: str


@dataclass(frozen=True)
class Curves:
    """A chart of curves."""

    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    logarithmic: bool


@dataclass(frozen=True)
class Bar:
    """A value with its interval on an axis from 0 to 1 hundred percent."""

    value: float
    low: float
    high: float


def curves(series: Sequence[tuple[str, str, Sequence[Point]]]) -> Curves | None:
    """A chart of (label, style, points); None where there is no point."""
    drawn = [(label, style, points) for label, style, points in series if points]
    if not drawn:
        return None
    xs = [x for _, _, points in drawn for x, _ in points]
    ys = [y for _, _, points in drawn for _, y in points]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > LOG_RATIO
    y_ticks = _decades(min(ys), max(ys)) if logarithmic else _round_steps(min(0.0, *ys), max(0.0, *ys))
    x_axis, y_axis = _Axis(0.0, max(xs)), _Axis(y_ticks[0], y_ticks[-1], logarithmic)
    lines = [
        Line(label, style, _path(points, x_axis, y_axis), number(points[-1][1]))
        for label, style, points in drawn
    ]
    return Curves(
        lines,
        [Tick(x_axis.place(x), f"{x:g}") for x in _round_steps(0.0, max(xs)) if x <= max(xs)],
        [Tick(100 - y_axis.place(y), f"{y:g}") for y in y_ticks],
        logarithmic,
    )


def bar(metric: Metric, span: tuple[float, float]) -> Bar | None:
    """Where a metric and its interval lie within a span; None where it has no value."""
    if metric.value is None:
        return None
    axis = _Axis(*span)
    low = metric.value if metric.low is None else metric.low
    high = metric.value if metric.high is None else metric.high
    return Bar(axis.place(metric.value), axis.place(low), axis.place(high))


def span_of(metrics: Sequence[Metric], bounds: Sequence[float]) -> tuple[float, float]:
    """From 0 to 1, or as far as values and bounds lie beyond."""
    known = [value for item in metrics for value in (item.value, item.low, item.high) if value is not None]
    return min([0.0, *known, *bounds]), max([1.0, *known, *bounds])


def place(value: float, span: tuple[float, float]) -> float:
    """Where a value lies within a span, in percent."""
    return _Axis(*span).place(value)


def number(value: float) -> str:
    """A number for people: four digits, and no more than there are."""
    return f"{value:.4g}"


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        low, high, at = (
            (math.log10(item) for item in (self.low, self.high, value))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        return round(100 * (at - low) / (high - low), 2) if high > low else 50.0


def _path(points: Sequence[Point], x_axis: _Axis, y_axis: _Axis) -> str:
    places = [f"{x_axis.place(x):g} {100 - y_axis.place(y):g}" for x, y in points]
    # a single point becomes a dash that can be seen
    return "M" + " L".join(places) + (" h1" if len(places) == 1 else "")


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _round_steps(low: float, high: float) -> list[float]:
    """Four or so round numbers from at most low to at least high."""
    rough = (high - low) / 4 or 1.0
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return [step * index for index in range(math.floor(low / step), math.ceil(high / step) + 1)]
