"""What KubeRay makes of a RayService whose application or head fails."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .api import condition, eventually
from .conftest import Cluster
from .fates import OUT_OF_MEMORY
from .ray_manifests import ray_service
from .scripts import DEPLOY_FAILS, UNHEALTHY, ServeScript

SECONDS = 60


def _ready(cluster: Cluster, namespace: str) -> dict[str, Any]:
    return condition(cluster.api.get("RayService", "chat", namespace) or {}, "Ready")


def _applications(cluster: Cluster, namespace: str, which: str = "activeServiceStatus") -> dict[str, str]:
    status = (cluster.api.get("RayService", "chat", namespace) or {}).get("status", {})
    applications = status.get(which, {}).get("applicationStatuses", {})
    return {name: application["status"] for name, application in applications.items()}


def _await_ready(cluster: Cluster, namespace: str) -> None:
    eventually(lambda: _ready(cluster, namespace).get("status") == "True", SECONDS, "the service is ready")
    eventually(
        lambda: _applications(cluster, namespace) == {"app": "RUNNING"}, SECONDS, "its application runs"
    )


def test_a_service_becomes_ready_and_stays_so_while_its_application_fails(
    cluster: Cluster, namespace: str
) -> None:
    cluster.api.create(ray_service(namespace, "chat"))
    _await_ready(cluster, namespace)
    (slices,) = cluster.api.list("EndpointSlice", namespace, {"kubernetes.io/service-name": "chat-serve-svc"})
    assert [endpoint["conditions"]["ready"] for endpoint in slices["endpoints"]] == [True]
    cluster.dashboard.script_serve(namespace, "chat", UNHEALTHY)
    eventually(lambda: _applications(cluster, namespace) == {"app": "UNHEALTHY"}, SECONDS, "KubeRay sees it")
    assert _ready(cluster, namespace)["status"] == "True"
    cluster.dashboard.script_serve(namespace, "chat", ServeScript())
    _await_ready(cluster, namespace)


def test_a_new_serve_config_goes_to_the_same_cluster(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(ray_service(namespace, "chat"))
    _await_ready(cluster, namespace)
    config = {"applications": [{"name": "app", "import_path": "module:app", "args": {"adapter": 2}}]}
    cluster.api.patch("RayService", "chat", namespace, {"spec": {"serveConfigV2": json.dumps(config)}})
    (ray,) = cluster.dashboard.clusters(namespace)
    eventually(lambda: ray.serve_config == config, SECONDS, "the cluster has it")
    _await_ready(cluster, namespace)
    assert len(cluster.api.list("RayCluster", namespace)) == 1


def test_an_application_that_fails_to_deploy_is_tried_until_the_time_is_up(
    cluster: Cluster, namespace: str
) -> None:
    cluster.dashboard.script_serve(namespace, "chat", DEPLOY_FAILS)
    cluster.api.create(ray_service(namespace, "chat", {"ray.io/initializing-timeout": "15s"}))
    failed = {"app": "DEPLOY_FAILED"}
    eventually(
        lambda: _applications(cluster, namespace, "pendingServiceStatus") == failed, SECONDS, "it failed"
    )
    assert _ready(cluster, namespace)["status"] == "False"
    eventually(
        lambda: _ready(cluster, namespace)["reason"] == "InitializingTimeout", SECONDS, "the time is up"
    )
    assert _ready(cluster, namespace)["status"] == "False"


@pytest.mark.capability("lost-heads")
def test_applications_are_deployed_again_when_the_head_is_lost(cluster: Cluster, namespace: str) -> None:
    cluster.api.create(ray_service(namespace, "chat"))
    _await_ready(cluster, namespace)
    (ray,) = cluster.dashboard.clusters(namespace)
    cluster.kubelet.tell(namespace, OUT_OF_MEMORY, times=1, node_type="head")
    eventually(lambda: not ray.applications, SECONDS, "the head forgot its applications")
    eventually(lambda: ray.applications, SECONDS, "KubeRay deployed them again")
    _await_ready(cluster, namespace)
