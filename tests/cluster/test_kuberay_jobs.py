"""What KubeRay makes of a RayJob whose pods, head or job fail in every way: the ground of the operator's verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from .api import condition, eventually
from .conftest import Cluster
from .fake_kubelet import GPUS
from .fates import CRASH_LOOP, OUT_OF_MEMORY, Evicted, ImagePullFails, NeverStarts
from .ray_manifests import NO_SUCH_GPU, ray_job
from .scripts import DIES, NEVER_ENDS, STOPS, Fault, JobScript
from .supplies import secret

SECONDS = 60  # for all of them, which go on at the same time

Status = dict[str, Any]


@dataclass(frozen=True)
class Trouble:
    """A RayJob, what befalls it, and what its status says in the end."""

    expected: Status
    spec: Status
    befalls: Callable[[Cluster, str], None] = lambda cluster, namespace: None


def _scripts(*scripts: JobScript) -> Callable[[Cluster, str], None]:
    return lambda cluster, namespace: cluster.dashboard.script_job(namespace, "job", *scripts)


def _fate(fate: Any, times: int | None = None, **labels: str) -> Callable[[Cluster, str], None]:
    def tell(cluster: Cluster, namespace: str) -> None:
        cluster.kubelet.tell(namespace, fate, times, **labels)

    return tell


def _dashboard(fault: Fault) -> Callable[[Cluster, str], None]:
    return lambda cluster, namespace: cluster.dashboard.fail(namespace, fault)


SUCCEEDED = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED", "succeeded": 1, "failed": 0}
NOT_STARTED = {"jobDeploymentStatus": "Failed", "reason": "PreRunningDeadlineExceeded"}
TWO_SECONDS = {"preRunningDeadlineSeconds": 2}

TROUBLES: dict[str, Trouble] = {
    "none": Trouble(SUCCEEDED, {}),
    "the job fails": Trouble(
        {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "reason": "AppFailed", "failed": 1},
        {},
        _scripts(DIES),
    ),
    "the job is stopped": Trouble(
        {"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED", "succeeded": 0}, {}, _scripts(STOPS)
    ),
    "Ray forgets the job": Trouble(SUCCEEDED, {}, _scripts(JobScript(forgotten=True), JobScript())),
    "the head runs out of memory": Trouble(SUCCEEDED, {}, _fate(OUT_OF_MEMORY, times=1, node_type="head")),
    "a worker is evicted": Trouble(SUCCEEDED, {}, _fate(Evicted(), times=1, node_type="worker")),
    "the head is evicted": Trouble(SUCCEEDED, {}, _fate(Evicted(after=2), times=1, node_type="head")),
    "a worker ends again and again": Trouble(NOT_STARTED, TWO_SECONDS, _fate(CRASH_LOOP, node_type="worker")),
    "the pods never start": Trouble(NOT_STARTED, TWO_SECONDS, _fate(NeverStarts())),
    "the image is not to be had": Trouble(
        NOT_STARTED, TWO_SECONDS, _fate(ImagePullFails(), node_type="worker")
    ),
    "no node has such a GPU": Trouble(NOT_STARTED, {**TWO_SECONDS, "worker": NO_SUCH_GPU}),
    "the job takes too long": Trouble(
        {"jobDeploymentStatus": "Failed", "jobStatus": "RUNNING", "reason": "DeadlineExceeded"},
        {"activeDeadlineSeconds": 12},
        _scripts(NEVER_ENDS),
    ),
    "the dashboard answers as a proxy does": Trouble(
        {"jobDeploymentStatus": "Running", "jobStatus": "Failure"}, {}, _dashboard(Fault.KUBE_STATUS)
    ),
    "the dashboard answers 500": Trouble(
        {"jobDeploymentStatus": "Running", "jobStatus": ""},
        {},
        _dashboard(Fault.ERROR_500),
    ),
    "the dashboard hangs up": Trouble(
        {"jobDeploymentStatus": "Running", "jobStatus": ""},
        {},
        _dashboard(Fault.HANGS_UP),
    ),
    "the job is suspended": Trouble({"jobDeploymentStatus": "Suspended"}, {"suspend": True}),
    "the spec is nonsense": Trouble(
        {"jobDeploymentStatus": "ValidationFailed"}, {"activeDeadlineSeconds": -1}
    ),
}


@pytest.fixture(scope="module")
def places(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The namespaces in which all the jobs run, by their trouble."""
    found = {}
    for name, trouble in TROUBLES.items():
        found[name] = cluster.make_namespace()
        trouble.befalls(cluster, found[name])
        cluster.api.create(ray_job(found[name], "job", **trouble.spec))
    yield found
    for namespace in found.values():
        cluster.api.delete("Namespace", namespace)


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble(cluster: Cluster, places: dict[str, str], name: str) -> None:
    expected, namespace = TROUBLES[name].expected, places[name]
    seen: list[Status] = [{}]

    def matches() -> bool:
        seen[0] = (cluster.api.get("RayJob", "job", namespace) or {}).get("status", {})
        return all(_is(seen[0].get(field), value) for field, value in expected.items())

    eventually(matches, SECONDS, f"{expected}")


def test_a_job_that_ray_forgot_is_submitted_again_as_the_same(
    cluster: Cluster, places: dict[str, str]
) -> None:
    first, second = cluster.dashboard.submissions[places["Ray forgets the job"], "job"]
    assert first == second


def test_pods_say_why_they_wait(cluster: Cluster, namespace: str) -> None:
    cluster.kubelet.tell(namespace, ImagePullFails(), node_type="head")
    cluster.api.create(ray_job(namespace, "job", worker=NO_SUCH_GPU))

    def waiting() -> bool:
        pods = {
            pod["metadata"]["labels"]["ray.io/node-type"]: pod for pod in cluster.api.list("Pod", namespace)
        }
        if set(pods) != {"head", "worker"}:
            return False
        scheduled = condition(pods["worker"], "PodScheduled")
        states = pods["head"]["status"].get("containerStatuses") or [{}]
        reason = states[0].get("state", {}).get("waiting", {}).get("reason")
        return scheduled.get("reason") == "Unschedulable" and reason == "ImagePullBackOff"

    eventually(waiting, SECONDS, "one pod is unschedulable, the other has no image")
    events = {event["reason"]: event["message"] for event in cluster.api.list("Event", namespace)}
    assert events["Failed"].startswith('Failed to pull image "ray:test"')
    assert "node(s) didn't match Pod's node affinity/selector" in events["FailedScheduling"]


@pytest.mark.capability("secrets")
def test_a_missing_secret_is_named_and_awaited(cluster: Cluster, namespace: str) -> None:
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token"}}}
    worker = {"containers": [{"name": "ray-worker", "image": "ray:test", "env": [variable]}]}
    cluster.api.create(ray_job(namespace, "job", worker=worker))
    message = 'Error: secret "hf-token" not found'

    def events() -> list[Any]:
        return [event for event in cluster.api.list("Event", namespace) if event["message"] == message]

    assert len(eventually(events, SECONDS, "an event names the Secret")) == 1
    secret(cluster.api, namespace, "hf-token", token="x")
    eventually(lambda: _deployment_status(cluster, namespace) == "Complete", SECONDS, "the job is complete")


def test_a_job_goes_on_when_its_suspension_is_lifted(cluster: Cluster, places: dict[str, str]) -> None:
    namespace = places["the job is suspended"]
    eventually(lambda: _deployment_status(cluster, namespace) == "Suspended", SECONDS, "it is suspended")
    assert cluster.api.list("Pod", namespace) == []
    cluster.api.patch("RayJob", "job", namespace, {"spec": {"suspend": False}})
    eventually(lambda: _deployment_status(cluster, namespace) == "Complete", SECONDS, "it is complete")


@pytest.mark.capability("lost-heads")
@pytest.mark.parametrize("name", ["the dashboard answers 500", "the dashboard hangs up"])
def test_a_job_goes_on_when_its_dashboard_answers_again(
    cluster: Cluster, places: dict[str, str], name: str
) -> None:
    cluster.dashboard.fail(places[name], None)
    eventually(lambda: _deployment_status(cluster, places[name]) == "Complete", SECONDS, "it is complete")


@pytest.mark.capability("lost-heads")
def test_pods_come_back_when_their_node_is_lost(cluster: Cluster, namespace: str) -> None:
    """The node with the H100s, which nothing else runs on."""
    selector = {"nvidia.com/gpu.product": GPUS["h100"]}
    h100 = {"nodeSelector": selector, "tolerations": [{"operator": "Exists"}]}
    cluster.dashboard.script_job(namespace, "job", NEVER_ENDS)
    cluster.api.create(ray_job(namespace, "job", worker=h100))
    eventually(lambda: _deployment_status(cluster, namespace) == "Running", SECONDS, "it runs")
    (before,) = _workers(cluster, namespace)
    cluster.kubelet.lose_node("h100")
    eventually(
        lambda: _workers(cluster, namespace, PodScheduled="False"), SECONDS, "a new pod waits for a node"
    )
    cluster.kubelet.add_node("h100")
    after = eventually(lambda: _workers(cluster, namespace, Ready="True"), SECONDS, "it runs")
    assert [pod["metadata"]["uid"] for pod in after] != [before["metadata"]["uid"]]


def _workers(cluster: Cluster, namespace: str, **conditions: str) -> list[Any]:
    """The workers' pods of which conditions hold or do not."""
    found = cluster.api.list("Pod", namespace, {"ray.io/node-type": "worker"})
    return [
        pod
        for pod in found
        if all(condition(pod, name).get("status") == is_ for name, is_ in conditions.items())
    ]


def _deployment_status(cluster: Cluster, namespace: str) -> str:
    found = cluster.api.get("RayJob", "job", namespace) or {}
    return str(found.get("status", {}).get("jobDeploymentStatus"))


def _is(found: Any, wanted: Any) -> bool:
    """Whether a field has a value; one that is empty is the same as none."""
    return bool(found == wanted or not (found or wanted))
