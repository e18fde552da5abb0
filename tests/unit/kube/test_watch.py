"""The watch of children: whatever one of them is like, the others are seen."""

from __future__ import annotations

from llmworkflow.kube.cache import Cache, Key
from llmworkflow.kube.resources import RAY_JOB
from llmworkflow.kube.watch import ChildWatch

from .builders import rayjob
from .fake_api import FakeApi


async def test_a_child_that_makes_no_sense_is_passed_over() -> None:
    odd = rayjob(uid="odd")
    odd["metadata"]["name"] = "odd"
    odd["spec"]["rayClusterSpec"] = "none"
    cache, changed = Cache(), list[Key]()
    watch = ChildWatch(FakeApi(odd, rayjob()), cache, RAY_JOB, "team", changed.append)  # type: ignore[arg-type]
    await watch._list()
    watch._take_over("MODIFIED", odd)
    assert [record.name for record in cache.all()] == ["viggo-tune-1"]
    assert changed == [("team", "viggo")]
