"""Configurations go once nothing mounts them, and nothing else goes with them."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.kube.children import record_of
from llmworkflow.kube.sweep import settled, sweep
from llmworkflow.render.stage_context import report_name

from .builders import condition, metadata, rayjob, rayservice
from .fake_api import FakeApi

OTHERS = [{"kind": "LLMWorkflow", "name": "viggo", "uid": "w-0"}]


def a_workflow() -> LLMWorkflow:
    stages = [{"name": "tune", "fineTune": {"data": {"train": [{"uri": "volume:a.jsonl"}]}}}]
    spec = {"model": {"source": "hf://o/m"}, "storage": {"volume": {"claimName": "c"}}, "stages": stages}
    return LLMWorkflow.model_validate(
        {"metadata": {"name": "viggo", "namespace": "team", "uid": "w-1"}, "spec": spec}
    )


def config_map(name: str, **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, **meta)}


def mounting(*names: str) -> dict[str, Any]:
    volumes = [{"name": name, "configMap": {"name": name}} for name in names] + [
        {"name": "s", "emptyDir": {}}
    ]
    template = {"spec": {"containers": [{}], "volumes": volumes}}
    return rayjob(spec={"rayClusterSpec": {"headGroupSpec": {"template": template}, "workerGroupSpecs": []}})


async def test_what_no_child_mounts_and_no_job_reports_to_goes() -> None:
    workflow = a_workflow()
    report = report_name(workflow, "tune")
    names = ("code", "config", "old-code", "old-config", report)
    api = FakeApi(*map(config_map, names), config_map("theirs", ownerReferences=OTHERS))
    await sweep(api, workflow, [record_of(mounting("code", "config"))])  # type: ignore[arg-type]
    assert {name for _, name in api.objects} == {"code", "config", report, "theirs"}


async def test_where_there_are_none_nothing_goes() -> None:
    api = FakeApi()
    await sweep(api, a_workflow(), [])  # type: ignore[arg-type]
    assert not api.objects


READY = rayservice(
    condition("Ready", "True"),
    activeServiceStatus={"applicationStatuses": {"viggo-chat": {"status": "RUNNING", "message": ""}}},
)
UPGRADES = rayservice(condition("Ready", "True"), condition("UpgradeInProgress", "True"))


@pytest.mark.parametrize(
    ("child", "holds"),
    [
        (rayjob(), True),
        (rayjob(deletionTimestamp="now"), False),
        (READY, True),
        (UPGRADES, False),
    ],
)
def test_while_anything_goes_or_changes_nothing_is_swept(child: dict[str, Any], holds: bool) -> None:
    assert settled([record_of(child)]) is holds
