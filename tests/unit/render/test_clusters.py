"""Ray clusters: a head without work, groups of workers, accelerators, and whose settings win."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from llmworkflow.render.errors import RenderError

from .builders import (
    child_of,
    cluster_of,
    env_of,
    group_of,
    pod_of,
)

STAGES = ("tune", "score", "chat")


@pytest.mark.parametrize("stage", STAGES)
def test_no_work_runs_on_the_head(stage: str) -> None:
    assert cluster_of(child_of(stage))["headGroupSpec"]["rayStartParams"] == {
        "num-cpus": "0",
        "num-gpus": "0",
    }


def test_the_size_of_a_group_is_written_out() -> None:
    group = group_of(child_of("tune", stages={"tune": {"fineTune": {"workers": {"count": 4}}}}))
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (4, 4, 4)


def test_only_a_cluster_that_scales_has_an_autoscaler() -> None:
    fixed = cluster_of(child_of("tune"))
    assert "enableInTreeAutoscaling" not in fixed
    elastic = child_of("tune", stages={"tune": {"fineTune": {"workers": {"min": 2, "max": 8}}}})
    assert cluster_of(elastic)["enableInTreeAutoscaling"] is True
    group = group_of(elastic)
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 8)


def test_the_autoscaler_knows_what_pods_will_bring() -> None:
    assert group_of(child_of("tune"))["resources"] == {"accelerator_type:L4": "1"}


@pytest.mark.capability("accelerators", "spot")
def test_accelerators() -> None:
    ray = {
        "accelerator": {
            "type": "A100", "count": 2, "resource": "nvidia.com/gpu", "nodeSelector": {"pool": "a100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "preferences": [{"weight": 1, "preference": {"matchExpressions": [{"key": "spot", "operator": "Exists"}]}}],
        }
    }  # fmt: skip
    child = child_of("tune", ray=ray)
    pod = pod_of(child)
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "2"
    assert pod["nodeSelector"] == {"pool": "a100"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    preferred = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred == ray["accelerator"]["preferences"]
    head = pod_of(child, "head")
    assert "nodeSelector" not in head
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]


@pytest.mark.capability("accelerators")
def test_a_profile_that_the_installation_lacks() -> None:
    with pytest.raises(RenderError, match=r"stage tune: ray\.accelerator\.name is 'l5'.*a100, .*choose one"):
        child_of("tune", ray={"accelerator": {"name": "l5"}})


def test_cpu_stages_take_no_accelerator() -> None:
    child = child_of("tune", ray={"accelerator": {"count": 0}})
    assert set(pod_of(child)["containers"][0]["resources"]["limits"]) == {"cpu", "memory"}
    assert "resources" not in group_of(child)


@pytest.mark.capability("groups")
def test_further_groups() -> None:
    groups = [
        {"name": "spot", "replicas": 0, "minReplicas": 0, "maxReplicas": 4, "accelerator": {"name": "t4"}},
        {"name": "prepare", "replicas": 2, "cpu": 16, "memory": "64Gi"},
    ]
    child = child_of("tune", ray={"accelerator": {"name": "l4"}, "workerGroups": groups})
    spot, prepare = group_of(child, "spot"), group_of(child, "prepare")
    assert (spot["minReplicas"], spot["maxReplicas"], spot["resources"]) == (
        0,
        4,
        {"accelerator_type:T4": "1"},
    )
    assert (prepare["replicas"], prepare["maxReplicas"]) == (2, 2)
    assert pod_of(child, "prepare")["containers"][0]["resources"]["limits"] == {"cpu": "16", "memory": "64Gi"}
    assert cluster_of(child)["enableInTreeAutoscaling"] is True


GROUP = {"name": "more", "minReplicas": 1, "maxReplicas": 2}


@pytest.mark.parametrize(
    "ray",
    [
        {"workerGroups": [GROUP | {"minReplicas": 2, "maxReplicas": 3}]},
        {"workerGroups": [GROUP | {"minReplicas": 0}]},
        {"workerGroups": [GROUP | {"maxReplicas": 3}]},
        {"accelerator": {"name": "l4", "tolerations": [{"key": "team", "operator": "Exists"}]}},
    ],
)
def test_an_endpoint_gets_another_cluster_for_what_kuberay_overlooks(ray: dict[str, Any]) -> None:
    before = {"accelerator": {"name": "l4"}, "workerGroups": [GROUP]}
    assert told_apart_by(child_of("chat", ray=before)) == told_apart_by(child_of("chat", ray=before))
    assert told_apart_by(child_of("chat", ray=before)) != told_apart_by(child_of("chat", ray=before | ray))


def told_apart_by(service: dict[str, Any]) -> dict[str, Any]:
    """What KubeRay compares clusters by: GenerateHashWithoutReplicasAndWorkersToDelete of its util.go."""
    cluster = copy.deepcopy(cluster_of(service))
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        group["template"]["spec"].pop("tolerations", None)
        for name in ("replicas", "minReplicas", "maxReplicas"):
            group.pop(name, None)
    return cluster


@pytest.mark.capability("own-environment")
def test_a_stage_overrides_the_workflow_which_overrides_the_installation() -> None:
    ray = {
        "worker": {"cpu": 8, "memory": "64Gi"},
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
    }
    own = {"worker": {"cpu": 16}, "env": [{"name": "B", "value": "2"}], "image": "own:1"}
    child = child_of("tune", ray=ray, stages={"tune": {"ray": own}})
    pod = pod_of(child)
    assert pod["containers"][0]["image"] == "own:1"
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "16", "memory": "64Gi"}
    assert (env_of(pod)["A"], env_of(pod)["B"]) == ("1", "2")
    head = pod_of(child, "head")["containers"][0]["resources"]["limits"]
    assert head == {"cpu": "2", "memory": "8Gi"}


def test_a_stage_takes_away_what_the_workflow_has() -> None:
    ray = {"pip": ["peft==1.0"], "spreadZones": True, "envFrom": [{"secretRef": {"name": "a"}}]}
    own = {"pip": [], "spreadZones": False, "envFrom": []}
    without = child_of("tune", ray={})
    assert child_of("tune", ray=ray)["spec"] != without["spec"]
    assert child_of("tune", ray=ray, stages={"tune": {"ray": own}})["spec"] == without["spec"]
