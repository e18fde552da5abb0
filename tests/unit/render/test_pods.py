"""Pods of Ray clusters: volumes, variables, Secrets, and what they are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmworkflow.api import names
from llmworkflow.render.errors import RenderError

from .builders import (
    child_of,
    cluster_of,
    config_of,
    env_of,
    make_workflow,
    pod_of,
    rendered,
)


def test_shared_memory() -> None:
    def size_of(worker: dict[str, Any]) -> str:
        volumes = {
            volume["name"]: volume for volume in pod_of(child_of("tune", ray={"worker": worker}))["volumes"]
        }
        assert volumes["shared-memory"]["emptyDir"]["medium"] == "Memory"
        return str(volumes["shared-memory"]["emptyDir"]["sizeLimit"])

    assert size_of({}) == "16Gi"  # half of the memory
    assert size_of({"memory": "3Gi"}) == "1536Mi"
    assert size_of({"sharedMemory": "1Gi"}) == "1Gi"


@pytest.mark.capability("volume")
def test_storage_on_a_volume() -> None:
    pod = pod_of(child_of("tune"))
    assert {"name": "storage", "persistentVolumeClaim": {"claimName": "artifacts"}} in pod["volumes"]
    assert {"name": "storage", "mountPath": "/mnt/llmworkflow/storage"} in pod["containers"][0][
        "volumeMounts"
    ]


@pytest.mark.capability("bucket")
def test_storage_in_a_bucket() -> None:
    storage = {
        "uri": "s3://bucket/team", "endpoint": "https://minio:9000", "cacheSize": "20Gi",
        "credentialsFrom": {"secretRef": {"name": "s3"}},
    }  # fmt: skip
    for group in ("head", "workers"):
        pod = pod_of(child_of("tune", storage=storage), group)
        assert {"name": "cache", "emptyDir": {"sizeLimit": "20Gi"}} in pod["volumes"]
        assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "s3"}}]
        assert env_of(pod)["AWS_ENDPOINT_URL"] == "https://minio:9000"


@pytest.mark.capability("secrets")
def test_secrets_are_referred_to() -> None:
    token, keys = ({"secretKeyRef": {"name": name, "key": "key"}} for name in ("hub", "keys"))
    model = {"source": "hf://org/model", "tokenFrom": token}
    chat = {"serve": {"models": [{"modelId": "viggo"}], "apiKeysFrom": keys}}
    child = child_of("chat", model=model, stages={"chat": chat})
    for group in ("head", "workers"):
        assert env_of(pod_of(child, group))["HF_TOKEN"] == token
        assert env_of(pod_of(child, group))["LLMWORKFLOW_API_KEYS"] == keys
    assert "LLMWORKFLOW_API_KEYS" not in env_of(pod_of(child_of("tune", stages={"chat": chat})))


@pytest.mark.capability("secrets")
def test_credentials_of_data_come_once() -> None:
    source = {"uri": "s3://data/x", "credentialsFrom": {"secretRef": {"name": "data"}}}
    stages = {"tune": {"fineTune": {"data": {"train": [source], "validation": [source]}}}}
    pod = pod_of(child_of("tune", stages=stages))
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "data"}}]


def test_what_jobs_rely_on_cannot_be_overridden() -> None:
    env = [{"name": "PYTHONPATH", "value": "/mine"}, {"name": "LLMWORKFLOW_CONFIG", "value": "/mine"}]
    found = env_of(pod_of(child_of("tune", ray={"env": env})))
    assert found["PYTHONPATH"] == "/opt/llmworkflow/llmworkflow_jobs.zip:/mine"
    assert found["LLMWORKFLOW_CONFIG"] == "/etc/llmworkflow/config.json"


def test_endpoints_are_behind_haproxy_unless_the_user_has_it_otherwise() -> None:
    proxy = "RAY_SERVE_ENABLE_HA_PROXY"
    for group in ("head", "workers"):
        assert env_of(pod_of(child_of("chat"), group))[proxy] == "1"
        other = child_of("chat", stages={"chat": {"ray": {"env": [{"name": proxy, "value": "0"}]}}})
        assert env_of(pod_of(other, group))[proxy] == "0"
    assert proxy not in env_of(pod_of(child_of("tune")))


@pytest.mark.capability("prefetch")
def test_a_volume_for_models() -> None:
    model = {"source": "hf://org/model", "cache": {"claimName": "models", "path": "hub"}}
    pod = pod_of(child_of("tune", model=model))
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]
    assert env_of(pod)["HF_HOME"] == "/mnt/llmworkflow/models/hub/huggingface"


@pytest.mark.capability("queue")
def test_pull_secrets_and_priority() -> None:
    ray = {"imagePullSecrets": [{"name": "registry"}], "priorityClassName": "high"}
    for group in ("head", "workers"):
        pod = pod_of(child_of("tune", ray=ray), group)
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["priorityClassName"] == "high"


@pytest.mark.capability("zones")
def test_workers_spread_over_zones() -> None:
    child = child_of("chat", ray={"spreadZones": True})
    (constraint,) = pod_of(child)["topologySpreadConstraints"]
    labels = cluster_of(child)["workerGroupSpecs"][0]["template"]["metadata"]["labels"]
    assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
    assert "topologySpreadConstraints" not in pod_of(child, "head")


def test_pods_carry_what_they_are_told() -> None:
    child = child_of("tune", ray={"worker": {"podTemplate": {"metadata": {"annotations": {"a": "b"}}}}})
    pods = [pod_of(child), pod_of(child, "head")]
    for pod in pods:
        volume = next(volume for volume in pod["volumes"] if volume["name"] == "stage-config")
        (item,) = volume["downwardAPI"]["items"]
        assert item["fieldRef"]["fieldPath"] == f"metadata.annotations['{names.ANNOTATION_CONFIG}']"
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert f"{mounts['stage-config']}/{item['path']}" == env_of(pod)["LLMWORKFLOW_CONFIG"]
    assert json.loads(config_of(child))["stage"]["name"] == "tune"


def test_more_than_a_pod_can_carry_is_refused() -> None:
    items = [{"text": "word " * 1000} for _ in range(25)]
    workflow = make_workflow(stages={"score": {"batch": {"input": {"uri": None, "items": items}}}})
    with pytest.raises(RenderError, match=r"stage score: its configuration has .* characters"):
        rendered(workflow, "score")


def test_pod_templates_are_merged() -> None:
    template = {
        "metadata": {"annotations": {"a": "b"}},
        "spec": {
            "runtimeClassName": "nvidia",
            "containers": [{"name": "ray-worker", "tty": True}, {"name": "log", "image": "l"}],
        },
    }
    child = child_of("tune", ray={"worker": {"podTemplate": template}})
    pod = pod_of(child)
    assert pod["runtimeClassName"] == "nvidia"
    assert [container["name"] for container in pod["containers"]] == ["ray-worker", "log"]
    assert pod["containers"][0]["tty"] is True
    assert pod["containers"][0]["image"]
    assert "runtimeClassName" not in pod_of(child, "head")
