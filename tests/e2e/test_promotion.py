"""An endpoint under load while adapters are promoted, refused and rolled back, and what its keys keep out."""

import json
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from .harness import Command, Workflow, stage_of, wait_until
from .load import QUESTION, Load

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1800)]

NAME = "promote"
KEYS = ["sk-first-0a1b2c3d4e5f", "sk-second-9f8e7d6c5b4a", "sk-third-77aa55cc33ee"]
PROMOTION_SECONDS = 10
BOTH = "both"
SCALING = {
    "min": 1, "max": 2, "targetOngoingRequests": 2, "upscaleDelaySeconds": 1, "downscaleDelaySeconds": 5
}  # fmt: skip


@pytest.fixture(scope="module")
def workflow(command: Command, demo_workflow: Workflow) -> Workflow:
    """The demo's workflow with a short training, behind API keys."""
    secret = command.root / "secrets" / "default" / "viggo-keys" / "keys"
    secret.parent.mkdir(parents=True)
    secret.write_text(f"{KEYS[0]}, {KEYS[1]}\n{KEYS[2]}\n")
    secret.chmod(0o600)
    workflow = deepcopy(demo_workflow)
    workflow["metadata"]["name"] = NAME
    workflow["spec"]["stages"] = [stage_of(workflow, name) for name in ("tune", "score", "chat")]
    stage_of(workflow, "tune")["fineTune"]["training"] |= {"maxSteps": 16, "saveSteps": 16}
    stage_of(workflow, "score")["batch"]["input"]["limit"] = 100
    stage_of(workflow, "score")["gates"] = [{"metric": "exactMatch", "betterThan": "serving"}]
    stage_of(workflow, "chat")["serve"]["apiKeysFrom"] = {
        "secretKeyRef": {"name": "viggo-keys", "key": "keys"}
    }
    return workflow


@pytest.fixture(scope="module")
def first(command: Command, workflow: Workflow) -> Iterator[dict[str, Any]]:
    """The status once the first adapter serves."""
    assert command.run(workflow, "--detach", timeout=240).returncode == 0
    assert command.run(workflow, timeout=1200).returncode == 0
    yield command.status(NAME)
    command("stop", NAME, timeout=180)


@pytest.fixture(scope="module")
def promoted(
    command: Command, workflow: Workflow, first: dict[str, Any]
) -> tuple[Workflow, dict[str, Any], Load]:
    """The file of a better adapter, the status once it serves, and the load under which it came.

    A person has to agree to it, so that the load comes with the promotion and not with the training before it.
    """
    better = deepcopy(workflow)
    stage_of(better, "tune")["fineTune"]["training"]["maxSteps"] = 90
    stage_of(better, "chat")["approval"] = {"required": True}
    engines = {process.pid for process in command.engines(NAME)}
    command.run(better, "--detach")
    wait_until(lambda: command.stages(NAME)["chat"]["reason"] == "ApprovalRequired", 480, "a better adapter")
    revision = command.stages(NAME)["tune"]["revision"]
    with load_on(first["url"]) as load:
        wait_until(lambda: len(load.answers) > 8, 60, "answers of the first adapter")
        asked = time.monotonic()
        assert command("approve", NAME, "chat").returncode == 0
        wait_until(lambda: load.first_of(revision), 60, "an answer of the second adapter")
        wait_until(lambda: command.stages(NAME)["chat"]["state"] == "Serving", 60, "the verdict")
    scores = [stage(status, "score")["metrics"]["exactMatch"] for status in (first, command.status(NAME))]
    print(f"exact match {scores[0]['value']:.2f}, then {scores[1]['value']:.2f}")
    print(f"promoted {load.first_of(revision) - asked:.1f} s after it was approved")
    assert load.failures == []
    assert load.first_of(revision) - asked <= PROMOTION_SECONDS
    assert {process.pid for process in command.engines(NAME)} == engines != set()
    return better, command.status(NAME), load


def load_on(url: str) -> Load:
    """Eight clients that stream."""
    return Load(url, "viggo", KEYS[0])


def stage(status: dict[str, Any], name: str) -> dict[str, Any]:
    """A stage of a status."""
    found: dict[str, Any] = next(item for item in status["stages"] if item["name"] == name)
    return found


def models(url: str, key: str) -> list[str]:
    """The names that an endpoint lists for a key."""
    return [
        model.id for model in openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0).models.list()
    ]


@pytest.mark.capability("keys")
def test_every_key_opens_the_endpoint(first: dict[str, Any]) -> None:
    assert [models(first["url"], key) for key in KEYS] == [["viggo"]] * 3


@pytest.mark.capability("keys")
@pytest.mark.parametrize("key", ["", "none", KEYS[0][:-1], f"{KEYS[0]}, {KEYS[1]}", KEYS[0].upper()])
def test_nothing_else_opens_it(first: dict[str, Any], key: str) -> None:
    for path in ("/v1/models", "/v1/models/viggo", "/docs", "/openapi.json"):
        answer = httpx.get(f"{first['url']}{path}", headers={"authorization": f"Bearer {key}"} if key else {})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = httpx.post(f"{first['url']}/v1/chat/completions", json={"model": "viggo", "messages": []})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_chat_finds_its_key(first: dict[str, Any], command: Command) -> None:
    answer = command("chat", NAME, "Is it Iron Harbor that was released in 2009?")
    assert (first["serving"]["modelId"], answer.returncode) == ("viggo", 0)
    assert answer.stdout.strip()


@pytest.mark.capability("gates")
@pytest.mark.parametrize(
    "change", [{"learningRate": 0, "maxSteps": 1}, {"maxLength": 255}], ids=["worse", "equal"]
)
def test_what_is_no_better_is_refused_while_the_first_serves_on(
    command: Command, workflow: Workflow, first: dict[str, Any], change: dict[str, Any]
) -> None:
    engines = {process.pid for process in command.engines(NAME)}
    edited = deepcopy(workflow)
    stage_of(edited, "tune")["fineTune"]["training"] |= change

    assert command.run(edited).returncode == 1

    after = command.status(NAME)
    score = stage(after, "score")
    difference = score["metrics"]["exactMatch"]["comparisons"]["serving"]["difference"]
    assert (score["reason"], after["serving"]) == ("GateNotMet", first["serving"])
    assert abs(difference) <= 0.05 if "maxLength" in change else difference < 0
    assert "at 95 %" in score["message"]
    assert {process.pid for process in command.engines(NAME)} == engines != set()
    answer = command("chat", NAME, QUESTION)
    assert (answer.returncode, bool(answer.stdout.strip())) == (0, True)


@pytest.mark.capability("promotion")
def test_a_better_adapter_is_promoted_under_load(
    first: dict[str, Any], promoted: tuple[Workflow, dict[str, Any], Load]
) -> None:
    _, after, _ = promoted
    assert after["serving"]["revision"] == stage(after, "chat")["revision"]
    assert [old["revision"] for old in after["history"]] == [first["serving"]["revision"]]
    assert stage(after, "chat")["verification"]["agreement"] == 1


@pytest.mark.capability("promotion")
def test_a_rollback_is_as_quick_and_stays(
    command: Command, promoted: tuple[Workflow, dict[str, Any], Load], first: dict[str, Any]
) -> None:
    better, before, _ = promoted
    engines = {process.pid for process in command.engines(NAME)}
    before_revision = stage(first, "tune")["revision"]
    with load_on(first["url"]) as load:
        wait_until(lambda: len(load.answers) > 8, 60, "answers of the second adapter")
        asked = time.monotonic()
        assert command("rollback", NAME, "chat").returncode == 0
        wait_until(lambda: load.first_of(before_revision), 60, "an answer of the first adapter again")
        wait_until(lambda: command.stages(NAME)["chat"]["state"] == "Serving", 60, "the verdict")
    print(f"rolled back {load.first_of(before_revision) - asked:.1f} s after it was asked for")
    assert load.failures == []
    assert load.first_of(before_revision) - asked <= PROMOTION_SECONDS
    assert {process.pid for process in command.engines(NAME)} == engines
    after = command.status(NAME)
    assert (after["serving"]["revision"], after["serving"]["pinned"]) == (first["serving"]["revision"], True)
    assert [old["revision"] for old in after["history"]] == [before["serving"]["revision"]]

    command.run(better, timeout=120)  # the same file once more

    assert command.status(NAME)["serving"] == after["serving"]


@pytest.mark.capability("keys")
@pytest.mark.usefixtures("promoted")
def test_no_key_is_anywhere_but_in_its_file(command: Command) -> None:
    ray = Path(command.driver(NAME)["folder"])
    places = [path for root in (command.root, ray) for path in root.rglob("*") if path.is_file()]
    told = [path for path in places if any(key.encode() in path.read_bytes() for key in KEYS)]
    assert told == [command.root / "secrets" / "default" / "viggo-keys" / "keys"]
    for process in psutil.process_iter(["cmdline"]):
        assert not any(key in " ".join(process.info["cmdline"] or []) for key in KEYS)
    for arguments in (["status", NAME, "-o", "yaml"], ["render", command.root / f"{NAME}.yaml"]):
        printed = command(*arguments)
        assert printed.returncode == 0
        assert not any(key in printed.stdout for key in KEYS)


@pytest.fixture(scope="module")
def both(
    command: Command,
    workflow: Workflow,
    promoted: tuple[Workflow, dict[str, Any], Load],
    first: dict[str, Any],
) -> Workflow:
    """A file that only serves: two models, one of them with the two adapters that the other workflow made."""
    adapters = {"early": first, "late": promoted[1]}
    served = {
        "modelId": "chat",
        "adapters": [
            {"name": name, "uri": stage(status, "tune")["artifact"]["uri"]}
            for name, status in adapters.items()
        ],
        "lora": {"maxLoras": len(adapters)},  # none is left for the base, whose name must not answer as one
    }
    both = deepcopy(workflow)
    both["metadata"]["name"] = BOTH
    both["spec"]["stages"] = [{"name": "chat", "serve": {"models": [served, {"modelId": "plain"}]}}]
    return both


@pytest.fixture(scope="module")
def url_of_both(command: Command, both: Workflow) -> str:
    """The address of its endpoint."""
    assert command("stop", NAME, timeout=180).returncode == 0
    assert command.run(both, "--detach", timeout=240).returncode == 0
    assert command.run(both, timeout=1200).returncode == 0
    url: str = command.status(BOTH)["url"]
    return url


@pytest.mark.capability("served-adapters", "served-models")
def test_two_models_and_two_adapters_are_served_at_once(command: Command, url_of_both: str) -> None:
    client = openai.OpenAI(base_url=f"{url_of_both}/v1", api_key="none", max_retries=0)
    names = ["chat", "chat:early", "chat:late", "plain"]
    assert [model.id for model in client.models.list()] == names
    assert client.models.retrieve("chat:late").id == "chat:late"
    rows = [
        json.loads(line) for line in (command.volume / "data" / "test.jsonl").read_text().splitlines()[:12]
    ]
    prompts = [f"{row['instruction']}\n{row['input']}" for row in rows]
    answers = {
        name: [Load(url_of_both, name, "none").answer(client, prompt) for prompt in prompts] for name in names
    }
    assert answers["chat"] == answers["plain"]
    right = {name: sum(map(str.__eq__, answers[name], (row["output"] for row in rows))) for name in names}
    assert right["chat:late"] >= 10
    assert right["chat"] == 0
    assert answers["chat:early"] not in (answers["chat"], answers["chat:late"])
    for unknown in ("chat:other", "plain:early", "other", "chat:early-1"):
        with pytest.raises(openai.NotFoundError):
            Load(url_of_both, unknown, "none").answer(client)
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(unknown)


@pytest.mark.capability("engine-options", "autoscaling", "surge")
def test_other_engines_come_beside_and_scale_with_the_load(
    command: Command, both: Workflow, url_of_both: str
) -> None:
    before = engines_of(command)
    edited = deepcopy(both)
    served, _ = stage_of(edited, "chat")["serve"]["models"]
    stage_of(edited, "chat")["serve"]["models"] = [served]
    served["engineKwargs"] = {"max_model_len": 256}
    served["replicas"] = SCALING
    with Load(url_of_both, "chat:late", "none") as load:
        assert command.run(edited, timeout=300).returncode == 0
        wait_until(lambda: not before & engines_of(command), 60, "the old engines are gone")
        wait_until(lambda: len(engines_of(command)) == 2, 180, "a second replica under load")
        both_engines = engines_of(command)
        served["adapters"][1]["uri"] = served["adapters"][0]["uri"]  # another adapter under the same name
        known = load.answers[-1][1]
        assert command.run(edited, timeout=120).returncode == 0
        wait_until(lambda: load.answers[-1][1] != known, 30, "an answer of the other adapter")
        assert engines_of(command) == both_engines
    assert load.failures == []
    wait_until(lambda: len(engines_of(command)) == 1, 120, "one replica again when nobody asks")
    command("stop", BOTH, timeout=180)


def engines_of(command: Command) -> set[int]:
    """The processes of its engines."""
    return {process.pid for process in command.engines(BOTH)}
