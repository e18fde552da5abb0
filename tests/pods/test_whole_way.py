"""The demo's workflow on real pods, from a base model that cannot do the task to an endpoint that can."""

from __future__ import annotations

from typing import Any

import pytest
from tests.chart.helm import NAMESPACE
from tests.cluster.images import reference
from tests.cluster.supplies import secret

from .asking import STATUS, STREAM
from .cluster import Pods
from .demo import CLAIM, Workflow, demo_files, demo_workflow, stage, wait_for
from .timeline import Timeline, watched

KEY = "the-key-of-a-client"
ADDED_SECONDS = 2.0  # what the operator may add, summed over the stages


@pytest.fixture(scope="module")
def namespace(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace with what the workflow needs."""
    name = pods.make_namespace()
    pods.make_volume(name, CLAIM, demo_files(tmp_path_factory.mktemp("demo")))
    secret(pods.api, name, "clients", keys=KEY)
    return name


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture(scope="module")
def serving(pods: Pods, namespace: str, timeline: Timeline) -> Workflow:
    """The demo, whose endpoint asks for a key, once it is ready."""
    workflow = demo_workflow(namespace)
    workflow["spec"]["stages"][-1]["serve"]["apiKeysFrom"] = {
        "secretKeyRef": {"name": "clients", "key": "keys"}
    }
    with watched(pods, namespace, timeline):
        pods.api.create(workflow)
        return wait_for(pods, namespace)


@pytest.fixture(scope="module")
def stranger(pods: Pods) -> str:
    """The namespace of a pod that has nothing to do with the workflow; the pod has its name."""
    name = pods.make_namespace()
    pods.start_pod(name, name)
    return name


def test_the_tuned_model_beats_the_base(serving: Workflow) -> None:
    base, tuned = (stage(serving, name)["metrics"]["exactMatch"] for name in ("base", "score"))
    assert base["value"] <= 0.2
    assert tuned["value"] >= 0.9
    assert tuned["n"] == 200
    assert stage(serving, "chat")["verification"]["passed"]


def test_the_operator_adds_next_to_nothing(serving: Workflow, timeline: Timeline) -> None:
    gaps = timeline.gaps()
    print(f"from the end of a job to the next child: {[round(gap, 3) for gap in gaps]} s")
    assert len(gaps) == 3
    assert sum(gaps) <= ADDED_SECONDS


def test_the_endpoint_answers_the_openai_client(pods: Pods, stranger: str, serving: Workflow) -> None:
    found: dict[str, Any] = pods.python_in(
        stranger, stranger, STREAM, url=serving["status"]["url"], key=KEY, texts=["Tell me about it."]
    )
    assert "viggo" in found["models"]
    pieces, text = found["answers"][0]
    assert pieces > 1
    assert text


def test_strangers_neither_ask_without_a_key_nor_run_code(
    pods: Pods, namespace: str, stranger: str, serving: Workflow
) -> None:
    (ray,) = pods.api.list("RayCluster", namespace)
    dashboard = f"http://{ray['metadata']['name']}-head-svc.{namespace}.svc:8265/api/jobs/"
    url = f"{serving['status']['url']}/v1"
    question = {"model": "viggo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    known, unknown = {"Authorization": f"Bearer {KEY}"}, {"Authorization": "Bearer guessed"}
    requests = [
        ["POST", f"{url}/chat/completions", known, question],
        ["POST", f"{url}/chat/completions", {}, question],
        ["POST", f"{url}/chat/completions", unknown, question],
        ["GET", f"{url}/models", {}, None],
        ["POST", dashboard, {}, {"entrypoint": "id"}],
        ["POST", dashboard, unknown, {"entrypoint": "id"}],
    ]
    codes = pods.python_in(stranger, stranger, STATUS, requests=requests)
    assert codes[:4] == [200, 401, 401, 401]
    assert set(codes[4:]) <= {401, 403}


def test_pods_run_the_image_that_the_manifests_name_and_nothing_of_the_machine(
    pods: Pods, namespace: str, serving: Workflow
) -> None:
    assert stage(serving, "chat")["state"] == "Serving"
    running = pods.api.list("Pod", namespace, {"ray.io/is-ray-node": "yes"})
    assert len(running) >= 2
    for pod in running:
        assert {found["image"] for found in pod["spec"]["containers"]} == {reference("jobs").removeprefix("docker.io/")}
        assert not [volume for volume in pod["spec"]["volumes"] if "hostPath" in volume]


def test_the_operator_is_nobody_and_writes_nothing(pods: Pods, serving: Workflow) -> None:
    assert serving["status"]["phase"] == "Serving"
    for pod in pods.api.list("Pod", NAMESPACE):
        name = pod["metadata"]["name"]
        who = pods.kubectl("exec", "-n", NAMESPACE, name, "--", "id", "-u").strip()
        assert who == "65532"
        memory = pods.kubectl("exec", "-n", NAMESPACE, name, "--", "grep", "VmRSS", "/proc/1/status")
        print(f"{name}: {memory.strip()}")
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
