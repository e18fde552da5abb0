"""Figures of the page where a stage has several results, or several stages are scored by one metric."""

from __future__ import annotations

from llmworkflow.api.names import Verb
from llmworkflow.page import charts
from llmworkflow.page.contenders import Role, trials
from llmworkflow.page.sources import Sources
from llmworkflow.page.training import trainings

from ..core.builders import score  # noqa: TID252 - tests is on no path
from ..core.endpoints import RATE, judged_twice  # noqa: TID252
from ..core.simulator import started  # noqa: TID252


def test_the_incumbent_has_its_own_score_of_a_metric_that_two_stages_have() -> None:
    cluster = judged_twice()
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("safety", score(0.99))
    cluster.complete("score", score(0.8))
    cluster.bring_up()
    cluster.ask(Verb.RETRY, "tune#1")
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("safety", score(0.98))
    shown = trials(cluster.workflow, cluster.status)[0].contenders
    assert [(item.role, item.metrics["exactMatch"].value) for item in shown] == [
        (Role.CANDIDATE, 0.98),
        (Role.INCUMBENT, 0.99),
    ]


def test_the_training_is_that_of_the_revision_that_was_gone_back_to() -> None:
    cluster = started()
    cluster.complete("tune")
    first = cluster.stage("tune").revision
    cluster.edit((RATE, 1e-3))
    cluster.settle()
    cluster.complete("tune")
    cluster.edit((RATE, None))
    cluster.settle()
    (shown,) = trainings(Sources(cluster.workflow, cluster.status, cluster.now, accelerated=True))
    assert shown.revision == first == cluster.stage("tune").revision


def test_losses_below_zero_are_drawn() -> None:
    drawn = charts.curves([("reward", "train now", [(1, -3.0), (2, -1.0)])])
    assert drawn is not None
    assert [tick.label for tick in drawn.y_ticks] == ["-3", "-2", "-1", "0"]
