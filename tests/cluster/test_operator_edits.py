"""What people do by hand to children is put right: engines that serve go on, and jobs that run are not lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .api import condition, eventually
from .conftest import Cluster
from .operator_process import OperatorProcess, at_work
from .scripts import NEVER_ENDS
from .workflows import NAME, begin, states, told, wait_for

pytestmark = pytest.mark.timeout(900)

SECONDS = 240  # most of it is for a machine that is busy


@pytest.fixture(scope="module")
def operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    with at_work(cluster, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


def test_an_endpoint_is_put_right_and_its_engines_go_on(
    cluster: Cluster, namespace: str, operator: OperatorProcess
) -> None:
    begin(cluster, namespace)
    wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    engines, before = pods(cluster, namespace), service(cluster, namespace)
    (ray,) = [found for found in cluster.dashboard.clusters(namespace) if found.of_service]
    config = json.loads(before["spec"]["serveConfigV2"])
    other = {"applications": [{**config["applications"][0], "name": "other"}]}
    by_hand(cluster, namespace, "rayservice", before, {"spec": {"serveConfigV2": json.dumps(other)}})
    generation = before["metadata"]["generation"]
    eventually(
        lambda: service(cluster, namespace)["metadata"]["generation"] >= generation + 2,
        SECONDS,
        "it is undone",
    )
    eventually(lambda: ray.serve_config == config, SECONDS, "Ray serves as before")
    wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    assert pods(cluster, namespace) == engines


def test_another_cluster_by_hand_is_undone(
    cluster: Cluster, namespace: str, operator: OperatorProcess
) -> None:
    begin(cluster, namespace)
    wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    before = service(cluster, namespace)
    image = "example.org/another:1"
    container = {**head_of(before), "image": image}
    edit = {"template": {"spec": {"containers": [container]}}}
    by_hand(cluster, namespace, "rayservice", before, {"spec": {"rayClusterConfig": {"headGroupSpec": edit}}})
    eventually(lambda: image_of(service(cluster, namespace)) == image_of(before), SECONDS, "it is undone")
    eventually(lambda: image not in images(cluster, namespace), SECONDS, "no pod of the edit is left")
    wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    found: Any = cluster.api.get("LLMWorkflow", NAME, namespace)
    assert condition(found, "Available")["status"] == "True"


def test_a_job_without_its_labels_is_still_the_one_that_runs(
    cluster: Cluster, namespace: str, operator: OperatorProcess
) -> None:
    cluster.dashboard.script_job(namespace, "tune", NEVER_ENDS)
    begin(cluster, namespace)
    eventually(
        lambda: states(cluster.api, namespace).get("tune") == "Running",
        SECONDS,
        f"tune runs; {told(cluster.api, namespace)}",
    )
    (job,) = cluster.api.list("RayJob", namespace)
    bare = dict.fromkeys(job["metadata"]["labels"])
    by_hand(cluster, namespace, "rayjob", job, {"metadata": {"labels": bare}})
    cluster.dashboard.finish_jobs(namespace)
    found = wait_for(cluster, namespace, "Ready", seconds=SECONDS)
    assert {stage["attempt"] for stage in found["status"]["stages"]} == {1}
    eventually(lambda: not cluster.api.list("RayJob", namespace), SECONDS, "no job is left behind")


def by_hand(cluster: Cluster, namespace: str, kind: str, child: Any, change: Any) -> None:
    name = child["metadata"]["name"]
    cluster.kubectl("-n", namespace, "patch", kind, name, "--type=merge", "-p", json.dumps(change))


def service(cluster: Cluster, namespace: str) -> Any:
    (found,) = cluster.api.list("RayService", namespace)
    return found


def head_of(service: Any) -> Any:
    """The container of the head."""
    return service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]


def image_of(service: Any) -> str:
    image: str = head_of(service)["image"]
    return image


def pods(cluster: Cluster, namespace: str) -> set[str]:
    """Uids of the pods that serve."""
    return {pod["metadata"]["uid"] for pod in serving(cluster, namespace)}


def images(cluster: Cluster, namespace: str) -> set[str]:
    return {
        container["image"] for pod in serving(cluster, namespace) for container in pod["spec"]["containers"]
    }


def serving(cluster: Cluster, namespace: str) -> list[Any]:
    return cluster.api.list("Pod", namespace, {"llmworkflow.io/stage": "chat"})
