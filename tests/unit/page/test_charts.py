"""The geometry of charts."""

from __future__ import annotations

from llmworkflow.api.status import Metric
from llmworkflow.page.charts import bar, curves, span_of


def test_curves_fill_the_plot() -> None:
    chart = curves([("loss", "now", [(0, 4.0), (10, 0.0)])])
    assert chart
    assert not chart.logarithmic
    assert chart.lines[0].path == "M0 0 L100 100"
    assert chart.lines[0].last == "0"
    assert [(tick.at, tick.label) for tick in chart.y_ticks] == [
        (100, "0"),
        (75, "1"),
        (50, "2"),
        (25, "3"),
        (0, "4"),
    ]


def test_losses_of_many_sizes_are_logarithmic() -> None:
    chart = curves([("loss", "now", [(1, 1.0), (2, 0.01)])])
    assert chart
    assert chart.logarithmic
    assert [tick.label for tick in chart.y_ticks] == ["0.01", "0.1", "1"]
    assert chart.lines[0].path == "M50 0 L100 100"


def test_one_point_is_seen_and_none_is_no_chart() -> None:
    chart = curves([("loss", "now", [(5, 1.0)]), ("eval", "now", [])])
    assert chart
    assert [line.path for line in chart.lines] == ["M100 0 h1"]
    assert curves([("loss", "now", [])]) is None
    assert curves([("loss", "now", [(0, 0.0)])]) is not None


def test_bars_lie_in_a_span_that_has_room_for_bounds() -> None:
    metric = Metric(value=1.5, low=1.0, high=2.0)
    assert span_of([metric], [3.0]) == (0.0, 3.0)
    found = bar(metric, (0.0, 2.0))
    assert found
    assert (found.low, found.value, found.high) == (50, 75, 100)
    assert bar(Metric(), (0.0, 1.0)) is None
