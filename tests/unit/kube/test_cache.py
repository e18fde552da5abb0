"""The cache: newer wins, what vanished is swept, and ready takes a moment."""

from __future__ import annotations

from dataclasses import replace

from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube.cache import HOLD_SECONDS, Cache
from llmworkflow.kube.children import ChildRecord, record_of

from .builders import apps, condition, rayjob, rayservice

KEY = ("team", "viggo")
JOB = record_of(rayjob({"jobDeploymentStatus": "Running"}))
SERVICE = record_of(
    rayservice(
        condition("Ready", "True"),
        condition("UpgradeInProgress", "False"),
        activeServiceStatus=apps("RUNNING"),
    )
)


def filled(*records: ChildRecord) -> Cache:
    cache = Cache()
    for record in records:
        cache.put(record, 0.0)
    return cache


def test_only_news_is_news() -> None:
    cache = Cache()
    assert cache.put(JOB, 0.0)
    assert not cache.put(replace(JOB, version="11"), 0.0)
    assert cache.put(replace(JOB, version="12", terminating=True), 0.0)


def test_of_a_child_that_goes_nothing_is_news_until_it_is_gone() -> None:
    cache = filled(JOB)
    cache.goes(JOB.uid)
    assert not cache.put(replace(JOB, version="12", generation=3, terminating=True), 0.0)
    assert cache.of(KEY)[0].terminating
    assert cache.remove(JOB)


def test_late_event_does_not_undo_what_a_write_returned() -> None:
    cache = filled(replace(JOB, version="12", terminating=True))
    assert not cache.put(JOB, 0.0)
    assert cache.of(KEY)[0].terminating


def test_successor_of_the_same_name_is_not_removed_with_its_predecessor() -> None:
    cache = filled(JOB)
    successor = replace(JOB, uid="another", version="9")
    assert cache.put(successor, 0.0)
    assert not cache.remove(JOB)
    assert cache.of(KEY) == [successor]
    assert cache.remove(successor)
    assert cache.of(KEY) == []


def test_sweep_takes_what_a_list_did_not_have() -> None:
    other = replace(JOB, name="other", uid="other")
    elsewhere = replace(JOB, namespace="elsewhere", uid="elsewhere")
    cache = filled(JOB, other, elsewhere, SERVICE)
    assert cache.sweep("RayJob", "team", {JOB.uid}) == [other]
    assert {record.uid for record in cache.all()} == {JOB.uid, elsewhere.uid, SERVICE.uid}
    assert cache.sweep("RayJob", "", set()) == [JOB, elsewhere]


def test_service_is_ready_after_a_moment_and_anew_after_a_change() -> None:
    cache = filled(SERVICE)
    assert cache.ready_in(SERVICE, 1.0) == HOLD_SECONDS - 1.0
    cache.put(replace(SERVICE, version="11"), 3.0)
    assert cache.ready_in(SERVICE, HOLD_SECONDS) == 0.0
    changed = replace(SERVICE, version="12", generation=3)
    cache.put(changed, 10.0)
    assert cache.ready_in(changed, 11.0) == HOLD_SECONDS - 1.0


def test_service_that_stops_being_ready_begins_anew() -> None:
    cache = filled(SERVICE)
    cache.put(replace(SERVICE, version="11", look=replace(SERVICE.look, phase=ChildPhase.RUNNING)), 2.0)
    cache.put(replace(SERVICE, version="12"), 4.0)
    assert cache.ready_in(SERVICE, 6.0) == HOLD_SECONDS - 2.0


def test_accelerators_held_by_namespace() -> None:
    cache = filled(JOB, replace(JOB, name="b", uid="b"), replace(JOB, namespace="other", uid="c"))
    assert cache.gpus_held([ChildPhase.RUNNING]) == {"team": 4, "other": 2}
    assert cache.gpus_held([ChildPhase.PENDING]) == {}
