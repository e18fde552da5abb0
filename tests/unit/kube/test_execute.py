"""Actions: each may be begun again at any point, and none touches what is not the workflow's."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.core.actions import ApplyService, CreateChild, DeleteChild, Work
from llmworkflow.kube.applied import Applied
from llmworkflow.kube.cache import Cache
from llmworkflow.kube.errors import AgainError, ApiError, RefusedError
from llmworkflow.kube.execute import Executor

from .builders import metadata, rayjob, rayservice
from .fake_api import FakeApi

NAME = "viggo-tune-1"
WORKFLOW = ("team", "viggo")
CREATE = CreateChild("RayJob", NAME, Work("tune", "fineTune", "1a1a", 1))
APPLY = ApplyService("viggo-chat", "uid-viggo-chat", Work("chat", "serve", "2b2b", 2))


def config_map(name: str, spec_hash: str = "h1", **content: Any) -> dict[str, Any]:
    described = metadata(name, annotations={"llmworkflow.io/spec-hash": spec_hash})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": described, **content}


def manifests(spec_hash: str = "h1") -> list[dict[str, Any]]:
    code = config_map("code", spec_hash, immutable=True, data={"a.py": ""})
    return [code, config_map("report", spec_hash), rayjob()]


def executor(api: FakeApi, applied: Applied | None = None) -> tuple[Executor, Cache]:
    cache = Cache()
    return Executor(api, cache, applied or Applied()), cache  # type: ignore[arg-type]


async def test_companions_come_before_the_child_which_is_known_at_once() -> None:
    api = FakeApi()
    acts, cache = executor(api)
    await acts.carry_out(WORKFLOW, CREATE, manifests())
    assert api.writes == ["create ConfigMap code", "create ConfigMap report", f"create RayJob {NAME}"]
    assert [record.name for record in cache.of(("team", "viggo"))] == [NAME]


async def test_what_is_there_as_rendered_is_not_written_again() -> None:
    api = FakeApi(*manifests()[:2])
    acts, _ = executor(api)
    await acts.carry_out(WORKFLOW, CREATE, manifests())
    assert api.writes == [f"create RayJob {NAME}"]


async def test_immutable_companion_with_another_content_is_made_anew() -> None:
    api = FakeApi(*manifests("h0")[:2])
    acts, _ = executor(api)
    await acts.carry_out(WORKFLOW, CREATE, manifests())
    assert api.writes[:2] == ["delete ConfigMap code", "create ConfigMap code"]


async def test_report_of_an_earlier_run_is_emptied() -> None:
    api = FakeApi(config_map("report", data={"report.json": "{}"}))
    acts, _ = executor(api)
    await acts.carry_out(WORKFLOW, CREATE, [config_map("report"), rayjob()])
    assert "merge ConfigMap report" in api.writes
    assert "data" not in api.objects["ConfigMap", "report"]


async def test_name_that_is_taken_is_looked_at_and_left_alone() -> None:
    foreign = rayjob(labels={}, ownerReferences=[])
    api = FakeApi(foreign)
    acts, _ = executor(api)
    with pytest.raises(AgainError, match="is there already"):
        await acts.carry_out(WORKFLOW, CREATE, [rayjob()])
    assert api.writes == []


async def test_service_is_replaced_and_what_others_keep_in_its_metadata_stays() -> None:
    live = rayservice(spec={"suspend": False, "byHand": True})
    live["metadata"] |= {"finalizers": ["ray.io/x"], "managedFields": [{}]}
    live["metadata"]["annotations"] |= {"theirs": "kept"}
    api = FakeApi(live)
    acts, _ = executor(api)
    await acts.carry_out(WORKFLOW, APPLY, [rayservice()])
    found = api.objects["RayService", "viggo-chat"]
    assert found["metadata"]["finalizers"] == ["ray.io/x"]
    assert found["metadata"]["annotations"]["theirs"] == "kept"
    assert found["spec"] == rayservice()["spec"] | {"suspend": False}


def with_cluster(made_of: str, image: str, **meta: Any) -> dict[str, Any]:
    service = rayservice(spec={"rayClusterConfig": {"image": image}, "serveConfigV2": image})
    service["metadata"]["annotations"]["llmworkflow.io/cluster"] = made_of
    service["metadata"] |= meta
    return service


BY_HAND = [{"manager": "kubectl-edit", "fieldsV1": {"f:spec": {}}}]


@pytest.mark.parametrize(
    ("live", "left"),
    [
        (with_cluster("c1", "old"), {"image": "old"}),
        (with_cluster("c0", "old"), {"image": "new"}),
        (with_cluster("c1", "old", managedFields=BY_HAND), {"image": "new"}),
    ],
    ids=["of the same", "of something else", "edited by hand"],
)
async def test_cluster_that_is_made_of_the_same_stays_as_an_older_version_rendered_it(
    live: dict[str, Any], left: dict[str, str]
) -> None:
    api = FakeApi(live)
    acts, _ = executor(api)
    code = config_map("code", immutable=True, data={"a.py": ""})
    await acts.carry_out(WORKFLOW, APPLY, [code, config_map("policy"), with_cluster("c1", "new")])
    found = api.objects["RayService", "viggo-chat"]["spec"]
    assert found["rayClusterConfig"] == left
    assert found["serveConfigV2"] == "new"
    assert ("ConfigMap", "policy") in api.objects
    assert (("ConfigMap", "code") in api.objects) == (left["image"] == "new")


@pytest.mark.parametrize(
    ("upgrade", "made_of", "write"),
    [("None", "c0", "delete"), ("None", "c1", "replace"), ("NewCluster", "c0", "replace")],
)
async def test_service_goes_for_its_successor_where_two_clusters_would_have_no_room(
    upgrade: str, made_of: str, write: str
) -> None:
    api = FakeApi(with_cluster(made_of, "old"))
    acts, _ = executor(api)
    wanted = with_cluster("c1", "new")
    wanted["spec"]["upgradeStrategy"] = {"type": upgrade}
    await acts.carry_out(WORKFLOW, APPLY, [wanted])
    assert api.writes == [f"{write} RayService viggo-chat"]


@pytest.mark.parametrize("change", [{"uid": "another"}, {"deletionTimestamp": "now"}])
async def test_service_that_is_another_one_or_goes_is_not_replaced(change: dict[str, str]) -> None:
    live = rayservice()
    live["metadata"] |= change
    api = FakeApi(live)
    acts, _ = executor(api)
    with pytest.raises(AgainError):
        await acts.carry_out(WORKFLOW, APPLY, [rayservice()])
    assert api.writes == []


async def test_only_the_very_child_is_deleted() -> None:
    api = FakeApi(rayjob())
    acts, _ = executor(api)
    with pytest.raises(AgainError):
        await acts.carry_out(WORKFLOW, DeleteChild("RayJob", NAME, "another", "tune"), [])
    await acts.carry_out(WORKFLOW, DeleteChild("RayJob", NAME, f"uid-{NAME}", "tune"), [])
    assert api.writes == [f"delete RayJob {NAME}"]


@pytest.mark.capability("gcs")
@pytest.mark.parametrize(("kept", "policy"), [({}, "Foreground"), ({"redisAddress": "r"}, "Background")])
async def test_the_token_of_a_cluster_outlives_its_state_in_redis(kept: dict[str, str], policy: str) -> None:
    live = rayservice()
    live["spec"]["rayClusterConfig"] = {"gcsFaultToleranceOptions": kept} if kept else {}
    api = FakeApi(live)
    acts, _ = executor(api)
    await acts.carry_out(WORKFLOW, DeleteChild("RayService", "viggo-chat", "uid-viggo-chat", "chat"), [])
    assert (api.writes, api.policies) == (["delete RayService viggo-chat"], [policy])


async def test_a_child_that_is_refused_is_remembered_until_it_is_made() -> None:
    api = FakeApi()
    acts, _ = executor(api)
    api.refusal = ApiError(403, "Forbidden", "is forbidden: exceeded quota: jobs, used: 1")
    for is_news in (True, False):
        with pytest.raises(RefusedError) as refused:
            await acts.carry_out(WORKFLOW, CREATE, manifests())
        assert refused.value.is_news is is_news
    assert acts.refused(WORKFLOW)[NAME].reason == "QuotaExceeded"
    assert acts.refused(("team", "other")) == {}
    api.refusal = None
    await acts.carry_out(WORKFLOW, CREATE, manifests())
    assert acts.refused(WORKFLOW) == {}


async def test_refusals_go_with_their_workflow() -> None:
    api = FakeApi()
    acts, _ = executor(api)
    api.refusal = ApiError(403, "Forbidden", "is forbidden: exceeded quota: jobs, used: 1")
    with pytest.raises(RefusedError):
        await acts.carry_out(WORKFLOW, CREATE, manifests())
    acts.forget(WORKFLOW)
    assert acts.refused(WORKFLOW) == {}


async def test_role_that_is_not_known_yet_is_waited_for() -> None:
    api = FakeApi()
    acts, _ = executor(api)
    api.unknown.add("code")
    with pytest.raises(AgainError, match="does not know yet"):
        await acts.carry_out(WORKFLOW, CREATE, manifests())
    api.unknown.clear()
    await acts.carry_out(WORKFLOW, CREATE, manifests())
    assert api.writes[-1] == f"create RayJob {NAME}"


async def test_companion_that_somebody_deleted_is_made_anew() -> None:
    api, applied = FakeApi(), Applied()
    acts, _ = executor(api, applied)
    await acts.carry_out(WORKFLOW, CREATE, manifests())
    api.objects.clear()
    api.writes.clear()
    await acts.restore(manifests(), mounted=["code"])
    assert api.writes == [], "nobody said that anything is gone"
    applied.forget(("ConfigMap", "team", "code"))
    await acts.restore(manifests(), mounted=["code"])
    assert api.writes == ["create ConfigMap code"]


async def test_of_immutable_companions_only_those_are_made_anew_that_the_child_mounts() -> None:
    api = FakeApi()
    acts, _ = executor(api)
    await acts.restore(manifests(), mounted=["code-of-an-older-version"])
    assert api.writes == ["create ConfigMap report"]


async def test_after_a_time_without_a_watch_everything_is_looked_at_again() -> None:
    api, applied = FakeApi(), Applied()
    acts, _ = executor(api, applied)
    await acts.carry_out(WORKFLOW, CREATE, manifests())
    api.objects.clear()
    applied.forget()
    await acts.restore(manifests(), mounted=["code"])
    assert {name for _, name in api.objects} == {"code", "report"}
