"""What was deleted beside children while nobody watched is found by the names that are rendered."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.kube.applied import Applied
from llmworkflow.kube.audit import Audit
from llmworkflow.kube.cache import Cache
from llmworkflow.kube.children import record_of
from llmworkflow.kube.companions import Place
from llmworkflow.render.stage_context import account_name, companion_name, report_name

from .builders import metadata, rayjob, rayservice
from .fake_api import FakeApi
from .test_sweep import a_workflow, mounting

CLOSED = ("NetworkPolicy", companion_name(a_workflow(), "closed"))
REPORT = ("ConfigMap", report_name(a_workflow(), "tune"))
RIGHTS = {("Role", account_name(a_workflow())), ("RoleBinding", account_name(a_workflow()))}
ENDED = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}


async def found_gone(
    *children: Any, there: set[tuple[str, str]], closed: bool = True
) -> set[tuple[str, str]]:
    cache, gone = Cache(), set[Place]()
    for child in children:
        cache.put(record_of(child), 0.0)
    api = FakeApi(*({"kind": kind, "metadata": metadata(name)} for kind, name in there))
    audit = Audit(api, cache, Applied(), [""], lambda place, _: gone.add(place), closed)  # type: ignore[arg-type]
    await audit.look()
    assert {namespace for _, namespace, _ in gone} <= {"team"}
    return {(kind, name) for kind, _, name in gone}


@pytest.mark.parametrize("lost", [CLOSED, REPORT, *RIGHTS, ("ConfigMap", "code")])
async def test_what_a_job_needs(lost: tuple[str, str]) -> None:
    needed = {CLOSED, REPORT, *RIGHTS, ("ConfigMap", "code")}
    assert await found_gone(mounting("code"), there=needed) == set()
    assert await found_gone(mounting("code"), there=needed - {lost}) == {lost}


async def test_everything_is_missed_where_nothing_is_there() -> None:
    assert await found_gone(rayjob(), there=set()) == {CLOSED, REPORT, *RIGHTS}


async def test_a_job_that_ended_reports_no_more() -> None:
    assert await found_gone(rayjob(ENDED), there={CLOSED}) == set()


async def test_an_endpoint_lets_clients_in_where_it_is_closed() -> None:
    endpoint = ("NetworkPolicy", companion_name(a_workflow(), "tune-endpoint"))
    assert await found_gone(rayservice(), there=set()) == {CLOSED, endpoint}
    assert await found_gone(rayservice(), there=set(), closed=False) == set()


async def test_what_is_there_need_not_be_asked_for_again() -> None:
    code: dict[str, Any] = {"kind": "ConfigMap", "metadata": metadata("code")}
    code["metadata"]["annotations"] = {"llmworkflow.io/spec-hash": "h1"}
    applied = Applied()
    await Audit(FakeApi(code), Cache(), applied, [""], lambda *_: None, closed=True).look()  # type: ignore[arg-type]
    assert applied.has(code)
