"""Names of children, and names that somebody else has."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmworkflow.api.names import Verb
from llmworkflow.core.names import LIMIT, job_name, service_name
from llmworkflow.core.observation import ChildPhase, ChildSeen

from .simulator import SimulatedCluster

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
resource_names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?", fullmatch=True)
stage_names = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)


@given(resource_names, stage_names, st.integers(1, 1000))
def test_names_are_labels_of_bounded_length(name: str, stage: str, attempt: int) -> None:
    for child in (service_name(name, stage), job_name(name, "uid", stage, "abc", attempt)):
        assert DNS_1035.fullmatch(child)
        assert len(child) <= LIMIT


def test_names_tell_what_they_are_of() -> None:
    assert service_name("viggo", "chat") == "viggo-chat"
    assert re.fullmatch(r"viggo-tune-[0-9a-f]{8}", job_name("viggo", "uid", "tune", "abc", 1))


def test_jobs_differ_by_workflow_revision_and_attempt() -> None:
    names = {
        job_name("viggo", uid, stage, revision, attempt)
        for uid in ("u1", "u2")
        for stage in ("tune", "tune2")
        for revision in ("a", "b")
        for attempt in (1, 2)
    }
    assert len(names) == 16


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a" * 60, "chat"), ("a" * 61, "chat")),
        (("v1.2", "chat"), ("v1-2", "chat")),
        (("7b", "chat"), ("w7b", "chat")),
    ],
)
def test_services_whose_names_are_shortened_still_differ(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert service_name(*one) != service_name(*other)


def taken(cluster: SimulatedCluster, owner_name: str, *, terminating: bool = False) -> None:
    cluster.children["viggo-chat"] = ChildSeen(
        kind="RayService",
        name="viggo-chat",
        uid="foreign",
        owner_uid="somebody",
        owner_name=owner_name,
        phase=ChildPhase.READY,
        terminating=terminating,
    )


def about_to_serve() -> SimulatedCluster:
    cluster = SimulatedCluster()
    cluster.settle()
    cluster.complete("tune")
    cluster.run("score")
    cluster.settle()
    return cluster


@pytest.mark.parametrize(("owner", "terminating"), [("viggo", False), ("other", True), ("", True)])
def test_a_predecessor_is_waited_for(owner: str, terminating: bool) -> None:
    cluster = about_to_serve()
    taken(cluster, owner, terminating=terminating)
    cluster.succeed("score")
    planned = cluster.look_and_plan()
    cluster.write(planned)  # its creation meets a conflict
    cluster.plan()
    assert (cluster.states()["chat"], cluster.stage("chat").reason) == ("Waiting", "PredecessorTerminating")
    assert cluster.children["viggo-chat"].uid == "foreign", "nobody else's child is touched"
    del cluster.children["viggo-chat"]
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"
    assert cluster.children["viggo-chat"].uid != "foreign"
    assert cluster.stage("chat").failures == 0


def test_a_name_of_somebody_else_is_left_alone_and_said() -> None:
    cluster = about_to_serve()
    taken(cluster, "other")
    cluster.succeed("score")
    cluster.write(cluster.look_and_plan())
    cluster.settle()
    chat = cluster.stage("chat")
    assert (chat.state, chat.reason) == ("Failed", "NameTaken")
    assert chat.message == (
        "RayService viggo-chat belongs to other; rename stage chat, or delete it and run "
        "`llmworkflow retry viggo --from chat`"
    )
    assert next(item for item in cluster.status.conditions if item.type == "Stalled").status == "True"
    del cluster.children["viggo-chat"]
    cluster.ask(Verb.RETRY, "chat#1")
    cluster.settle()
    assert cluster.states()["chat"] == "Starting"
