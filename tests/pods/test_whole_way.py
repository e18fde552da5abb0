"""The demo's workflow on real pods, from a base model that cannot do the task to an endpoint that can."""

from __future__ import annotations

import copy
import json
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from tests.chart.helm import NAMESPACE
from tests.cluster.api import condition, eventually
from tests.cluster.images import reference
from tests.cluster.supplies import secret

from llmworkflow.api.names import LABEL_STAGE

from .asking import STATUS, STREAM
from .by_hand import PREFIX, create_one_after_the_other, delete
from .cluster import Pods
from .connecting import CLIENTS, METRICS, PROXY, RAY, opened, taken
from .demo import CLAIM, NAME, SECONDS, Workflow, demo_files, demo_workflow, stage, stage_of, wait_for
from .load import load
from .people import awaited, decide, edit, look, state
from .terminal import Terminal
from .timeline import Timeline, watched

KEY = "the-key-of-a-client"
STEP = "'eval_loss'"  # in what a worker reports, as Ray has it
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
    """The demo, whose endpoint asks for a key, once it is ready; it is applied suspended, and then resumed."""
    workflow = demo_workflow(namespace)
    workflow["spec"]["suspend"] = True
    workflow["spec"]["stages"][-1]["serve"]["apiKeysFrom"] = {
        "secretKeyRef": {"name": "clients", "key": "keys"}
    }
    with watched(pods, namespace, timeline):
        pods.api.create(workflow)
        eventually(lambda: state(pods, namespace, "base") == "Queued", 60, "it is suspended")
        assert not pods.api.list("RayJob", namespace)
        edit(pods, namespace, workflow, suspend=False)
        return wait_for(pods, namespace)


@pytest.fixture(scope="module")
def stranger(pods: Pods) -> str:
    """The namespace of a pod that has nothing to do with the workflow; the pod has its name."""
    name = pods.make_namespace()
    pods.start_pod(name, name)
    return name


@pytest.mark.capability("lora", "volume")
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


@pytest.mark.capability("openai")
def test_the_endpoint_answers_the_openai_client(pods: Pods, stranger: str, serving: Workflow) -> None:
    found: dict[str, Any] = pods.python_in(
        stranger, stranger, STREAM, url=serving["status"]["url"], key=KEY, texts=["Tell me about it."]
    )
    assert "viggo" in found["models"]
    pieces, text = found["answers"][0]
    assert pieces > 1
    assert text


@pytest.mark.capability("keys")
def test_nobody_asks_without_a_key(pods: Pods, stranger: str, serving: Workflow) -> None:
    url = f"{serving['status']['url']}/v1"
    question = {"model": "viggo", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    known, unknown = {"Authorization": f"Bearer {KEY}"}, {"Authorization": "Bearer guessed"}
    requests = [
        ["POST", f"{url}/chat/completions", known, question],
        ["POST", f"{url}/chat/completions", {}, question],
        ["POST", f"{url}/chat/completions", unknown, question],
        ["GET", f"{url}/models", {}, None],
    ]
    assert pods.python_in(stranger, stranger, STATUS, requests=requests) == [200, 401, 401, 401]


@pytest.fixture(scope="module")
def strangers(namespace: str, stranger: str) -> list[tuple[str, str]]:
    """Pods that are none of the workflow's, one of them in its namespace."""
    return [(stranger, stranger), (namespace, f"keeper-{CLAIM}")]


@pytest.mark.capability("closed")
def test_strangers_connect_to_an_endpoint_and_not_to_its_ray(
    pods: Pods, namespace: str, strangers: list[tuple[str, str]], serving: Workflow
) -> None:
    assert stage(serving, "chat")["state"] == "Serving", "the operators got through"
    ports = partial(taken, pods, namespace, "chat", *strangers)
    everyone = {CLIENTS, METRICS}
    own = everyone | RAY | PROXY
    assert ports() == [own, everyone, everyone]
    with opened(pods, namespace):
        eventually(lambda: ports() == [own] * 3, 60, "nothing but the policy was in their way")


@pytest.mark.capability("closed")
def test_a_stranger_whom_no_policy_stops_runs_no_code_either(
    pods: Pods, namespace: str, stranger: str, serving: Workflow
) -> None:
    assert serving["status"]["phase"] == "Serving"
    (ray,) = pods.api.list("RayCluster", namespace)
    dashboard = f"http://{ray['metadata']['name']}-head-svc.{namespace}.svc:8265/api/jobs/"
    tokens: list[dict[str, str]] = [{}, {"Authorization": "Bearer guessed"}]
    requests = [["POST", dashboard, token, {"entrypoint": "id"}] for token in tokens]
    codes = partial(pods.python_in, stranger, stranger, STATUS, requests=requests)
    with opened(pods, namespace):
        eventually(lambda: set(codes()) <= {401, 403}, 60, "Ray asks for a token")


@pytest.mark.capability("pod-images")
def test_pods_run_the_image_that_the_manifests_name_and_nothing_of_the_machine(
    pods: Pods, namespace: str, serving: Workflow
) -> None:
    assert stage(serving, "chat")["state"] == "Serving"
    running = pods.api.list("Pod", namespace, {"ray.io/is-ray-node": "yes"})
    assert len(running) >= 2
    for pod in running:
        assert {found["image"] for found in pod["spec"]["containers"]} == {
            reference("jobs").removeprefix("docker.io/")
        }
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


@pytest.fixture(scope="module")
def terminal(pods: Pods, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    return Terminal(pods, namespace, tmp_path_factory.mktemp("terminal"))


def test_the_commands_tell_what_was_done_and_what_serves(
    terminal: Terminal, namespace: str, serving: Workflow
) -> None:
    score = f"{stage(serving, 'score')['metrics']['exactMatch']['value']:.3f}"
    told = terminal.types("status", NAME)
    assert "Serving" in told
    assert f"exactMatch {score}" in told
    assert json.loads(terminal.types("status", NAME, "-o", "json"))["status"]["phase"] == "Serving"

    told = terminal.types("events", NAME)
    assert "tune: Starting -> Running" in told
    assert f"Pod/{stage(serving, 'chat')['child']['name']}-" in told, "also of the pods of the endpoint"

    page = terminal.folder / "page.html"
    assert terminal.types("report", NAME, "-o", page) == f"{page}\n"
    assert score in page.read_text()
    assert f"volume claim {namespace}/{CLAIM}" in page.read_text()

    rows = {line.split("  ")[0]: line for line in terminal.types("doctor").splitlines()}
    for subject in ("Kubernetes", "operator", "rayjobs.ray.io", "approve"):
        assert " ok " in rows[subject], rows


def test_logs_are_those_of_a_job_that_is_over_and_of_an_endpoint(
    terminal: Terminal, serving: Workflow
) -> None:
    assert stage(serving, "tune")["state"] == "Succeeded"
    assert STEP in terminal.types("logs", NAME, "tune"), "its pods are gone, the end of its log is kept"
    assert "INFO" in terminal.types("logs", NAME, "chat"), "what the replicas said, in their own files"
    assert "its stages are base, tune, score, chat" in terminal.fails("logs", NAME, "tuna")


def test_chat_asks_through_a_port_of_a_pod_with_a_key(terminal: Terminal, serving: Workflow) -> None:
    assert serving["status"]["serving"]["modelId"] == "viggo"
    question = ("chat", NAME, "Tell me about it.", "--max-tokens", "32")
    assert terminal.types(*question).strip(), "the key is that of the Secret, which this person may read"
    assert terminal.types(*question, OPENAI_API_KEY=KEY).strip()
    refused = terminal.fails(*question, OPENAI_API_KEY="guessed")
    assert "answers 401: this endpoint asks for an API key" in refused
    assert KEY not in refused


@pytest.fixture(scope="module")
def training(pods: Pods, namespace: str, serving: Workflow) -> Workflow:
    """Another adapter is made beside the one that serves; its job has said how far it is."""
    changed = copy.deepcopy(serving)
    # Long enough to be followed on a machine that is busy.
    stage_of(changed, "tune")["fineTune"]["training"] |= {"seed": 1, "numTrainEpochs": 18}
    stage_of(changed, "chat")["approval"] = {"required": True}
    edit(pods, namespace, changed)

    def reports() -> bool:
        tune = stage(look(pods, namespace), "tune")
        return tune["state"] == "Running" and "progress" in tune

    eventually(reports, SECONDS, "the job that makes the second adapter reports")
    return changed


@pytest.fixture(scope="module")
def follower(terminal: Terminal, training: Workflow) -> Iterator[subprocess.Popen[str]]:
    """Someone who follows the log of that job from its first words on."""
    assert stage_of(training, "tune")["fineTune"]["training"]["seed"] == 1
    with terminal.beside("logs", NAME, "tune", "--follow") as process:
        yield process


@pytest.mark.capability("closed")
def test_strangers_do_not_connect_to_the_ray_of_a_job(
    pods: Pods, namespace: str, strangers: list[tuple[str, str]], follower: subprocess.Popen[str]
) -> None:
    assert follower.poll() is None, "the job runs"
    assert taken(pods, namespace, "tune", *strangers) == [RAY | {METRICS}, {METRICS}, {METRICS}]


def test_the_log_of_a_job_that_runs_is_followed_to_its_end(
    pods: Pods, namespace: str, terminal: Terminal, follower: subprocess.Popen[str]
) -> None:
    told, complaints = follower.communicate(timeout=SECONDS)
    assert (follower.returncode, complaints) == (0, "")
    assert "rows read, the trainer starts" in told
    assert STEP in told
    own = {LABEL_STAGE: "tune"}
    eventually(lambda: not pods.api.list("Pod", namespace, own), 120, "the log has ended with the job")
    kept = terminal.types("logs", NAME, "tune").splitlines()
    assert [line for line in kept if STEP in line][-1] in told, "and not before it"


@pytest.fixture(scope="module")
def second(pods: Pods, namespace: str, serving: Workflow, training: Workflow) -> Workflow:
    """The other adapter, which waits for a person."""

    def waits() -> bool:
        return stage(look(pods, namespace), "chat").get("reason") == "ApprovalRequired"

    eventually(waits, SECONDS, "the second adapter waits for a person")
    assert look(pods, namespace)["status"]["serving"] == serving["status"]["serving"]
    return training


@pytest.mark.capability("promotion")
def test_a_second_adapter_is_promoted_under_load(
    pods: Pods, namespace: str, stranger: str, serving: Workflow, second: Workflow
) -> None:
    tuned = stage(look(pods, namespace), "tune")["revision"]
    engines = ray_pods(pods, namespace)
    with load(pods, stranger, serving["status"]["url"], KEY) as clients:
        asked = time.time()
        decide(pods, namespace, "approve", "chat", awaited(pods, namespace, "chat"))
        after = eventually(partial(serves, pods, namespace, serving), 120, "the second adapter serves")
        verdict = time.time()
    promoted, verified = clients.first_of(tuned) - asked, verdict - asked
    print(f"promoted after {promoted:.1f} s, verified after {verified:.1f} s")
    assert clients.failures == []
    assert ray_pods(pods, namespace) == engines
    assert after["history"][0]["revision"] == serving["status"]["serving"]["revision"]


@pytest.mark.capability("promotion")
def test_a_rollback_loses_no_request_either(
    pods: Pods, namespace: str, stranger: str, serving: Workflow, second: Workflow
) -> None:
    before, first = look(pods, namespace), serving["status"]["serving"]["revision"]
    tuned = stage(serving, "tune")["revision"]
    with load(pods, stranger, serving["status"]["url"], KEY) as clients:
        asked = time.time()
        decide(pods, namespace, "rollback", "chat", first)
        after = eventually(partial(serves, pods, namespace, before), 120, "the first adapter serves again")
    print(f"rolled back after {clients.first_of(tuned) - asked:.1f} s")
    assert clients.failures == []
    assert (after["serving"]["revision"], after["serving"]["pinned"]) == (first, True)


@pytest.mark.capability("gates")
def test_what_a_gate_refuses_does_not_serve(pods: Pods, namespace: str, second: Workflow) -> None:
    before = look(pods, namespace)["status"]["serving"]
    stricter = copy.deepcopy(second)
    stage_of(stricter, "score")["gates"] = [{"metric": "exactMatch", "max": 0.5}]
    edit(pods, namespace, stricter)

    ended = wait_for(pods, namespace, "Failed", seconds=120)

    assert condition(ended, "Failed")["reason"] == "GateNotMet"
    assert condition(ended, "Available")["status"] == "True"
    assert ended["status"]["serving"]["revision"] == before["revision"]


def test_a_script_with_the_same_children_adds_more(
    pods: Pods, namespace: str, serving: Workflow, timeline: Timeline
) -> None:
    children = list(timeline.children.values())
    assert [child["kind"] for child in children] == ["RayJob", "RayJob", "RayJob", "RayService"]
    by_hand = Timeline()
    with watched(pods, namespace, by_hand):
        create_one_after_the_other(pods, namespace, children)
        eventually(lambda: f"{PREFIX}-chat" in by_hand.created, 30, "the last child is seen")
    delete(pods, namespace, children)
    gaps = by_hand.gaps(PREFIX)
    print(f"the same by a script: {[round(gap, 3) for gap in gaps]} s")
    assert len(gaps) == 3
    assert sum(timeline.gaps()) < sum(gaps)


def serves(pods: Pods, namespace: str, before: Workflow) -> dict[str, Any] | None:
    """The status, once something else serves than before and has proved itself."""
    status: dict[str, Any] = look(pods, namespace)["status"]
    changed = status["serving"]["revision"] != before["status"]["serving"]["revision"]
    return status if changed and state(pods, namespace, "chat") == "Serving" else None


def ray_pods(pods: Pods, namespace: str) -> set[str]:
    """The pods of the endpoint, each with how often it was restarted."""
    found = pods.api.list("Pod", namespace, {"ray.io/is-ray-node": "yes", "llmworkflow.io/stage": "chat"})
    return {
        f"{pod['metadata']['uid']} {pod['status']['containerStatuses'][0]['restartCount']}" for pod in found
    }
