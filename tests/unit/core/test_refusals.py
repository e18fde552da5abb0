"""A successor that was refused is tried again once the spec changes, as its message asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llmworkflow.api.names import Verb
from llmworkflow.core.observation import ChildPhase

from .endpoints import serving, upgraded
from .simulator import SimulatedCluster

AGREEMENT = ("stages.2.serve.verify", {"agreement": 0.1})
TIMEOUT = ("stages.2.timeoutSeconds", 7200)


def answers_otherwise(cluster: SimulatedCluster) -> None:
    cluster.verify(passed=False)


def takes_too_long(cluster: SimulatedCluster) -> None:
    cluster.wait(3600)


def cannot_start(cluster: SimulatedCluster) -> None:
    cluster.see("chat", phase=ChildPhase.FAILED, message="out of memory")


def refused(fails: Callable[[SimulatedCluster], None]) -> SimulatedCluster:
    """An endpoint that serves what it did before, as its successor was refused."""
    cluster = upgraded(serving())
    fails(cluster)
    cluster.settle()
    assert cluster.stage("chat").refused is not None
    cluster.verify()
    cluster.settle()
    return cluster


@pytest.mark.parametrize(
    ("fails", "mended"),
    [
        (answers_otherwise, AGREEMENT),
        (takes_too_long, TIMEOUT),
        (cannot_start, ("ray.worker", {"memory": "64Gi"})),
    ],
)
def test_the_edit_that_mends_it_gives_it_another_attempt(
    fails: Callable[[SimulatedCluster], None], mended: tuple[str, object]
) -> None:
    cluster = refused(fails)
    first = cluster.status.serving
    cluster.edit(("stages.0.retries", 5))
    cluster.settle()
    assert cluster.states()["chat"] == "Serving", "an edit elsewhere mends nothing here"
    cluster.edit(mended)
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").refused) == ("Upgrading", None)
    cluster.verify()
    cluster.settle()
    assert cluster.status.serving.revision != first.revision
    assert cluster.stage("chat").reason == "EndpointVerified"


def test_an_edit_while_it_is_suspended_counts_once_it_goes_on() -> None:
    cluster = refused(answers_otherwise)
    first = cluster.status.serving
    cluster.edit(("suspend", True))
    cluster.settle()
    cluster.edit(AGREEMENT)
    cluster.settle()
    cluster.edit(("suspend", False))
    cluster.settle()
    cluster.bring_up()
    assert cluster.status.serving.revision != first.revision


def test_what_people_took_back_stays_so_whatever_else_is_edited() -> None:
    cluster = upgraded(serving())
    cluster.ask(Verb.ROLLBACK, "chat#1")
    cluster.settle()
    cluster.verify()
    cluster.settle()
    cluster.edit(AGREEMENT)
    cluster.settle()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Serving", "RolledBack")
