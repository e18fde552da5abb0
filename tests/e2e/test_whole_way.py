"""One workflow, from an untuned model to an endpoint, and what edits of its file do while it serves."""

from copy import deepcopy
from typing import Any

import pytest
from openai import OpenAI

from .harness import Command, Workflow, stage_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

NAME = "demo"


@pytest.fixture(scope="module")
def serving(command: Command, demo_workflow: Workflow) -> dict[str, Any]:
    """The status once the demo's workflow serves, in the background."""
    started = command.run(demo_workflow, "--detach", timeout=240)
    assert started.returncode == 0
    assert command.run(demo_workflow, timeout=900).returncode == 0  # follows until it is ready
    return command.status(NAME)


def ask(url: str, text: str) -> str:
    """What the endpoint streams."""
    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    pieces = client.chat.completions.create(
        model="viggo", messages=[{"role": "user", "content": text}], max_tokens=96, stream=True
    )
    return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def engine_of(command: Command) -> set[int]:
    """The processes of the engine."""
    return {process.pid for process in command.engines(NAME)}


@pytest.mark.capability("lora", "volume", "demo")
def test_the_tuned_model_beats_the_base(serving: dict[str, Any]) -> None:
    scores = {stage["name"]: stage["metrics"].get("exactMatch") for stage in serving["stages"]}
    assert scores["base"]["value"] <= 0.2
    assert scores["score"]["value"] >= 0.9
    assert scores["score"]["n"] == 200
    assert (
        scores["score"]["low"] < scores["score"]["value"] < scores["score"]["high"]
        or scores["score"]["value"] == 1
    )


def test_the_endpoint_answers_as_the_batch_did(serving: dict[str, Any]) -> None:
    chat = next(stage for stage in serving["stages"] if stage["name"] == "chat")
    assert chat["state"] == "Serving"
    assert chat["verification"] | {"message": ""} == {
        "revision": chat["revision"],
        "rows": 16,
        "agreement": 1.0,
        "passed": True,
        "message": "",
    }


@pytest.mark.capability("openai")
def test_clients_get_streams(serving: dict[str, Any], command: Command) -> None:
    answer = ask(
        serving["url"], "Give the dialogue act with its attributes.\nIron Harbor was released in 2009."
    )
    assert answer.startswith("inform(name[")
    assert command("chat", NAME, "Is it Iron Harbor that was released in 2009?").stdout.strip()


@pytest.mark.usefixtures("serving")
def test_what_the_endpoint_prints_is_shown_while_it_runs(command: Command) -> None:
    told = command("logs", NAME, "chat")
    assert told.returncode == 0
    assert "replica" in told.stdout.lower()


@pytest.mark.usefixtures("serving")
def test_no_other_run_shares_the_port(command: Command, demo_workflow: Workflow) -> None:
    other = deepcopy(demo_workflow)
    other["metadata"]["name"] = "other"
    refused = command.run(other, timeout=120)
    assert refused.returncode == 1
    assert f"port {command.port} on 127.0.0.1 is in use by another run" in refused.stdout
    assert command.stages("other") == {}


def test_only_the_gate_is_judged_anew(
    serving: dict[str, Any], command: Command, demo_workflow: Workflow
) -> None:
    before, engine = command.stages(NAME), engine_of(command)
    edited = deepcopy(demo_workflow)
    stage_of(edited, "score")["gates"] = [{"metric": "exactMatch", "max": 0.5}]

    assert command.run(edited).returncode == 1

    after = command.stages(NAME)
    assert after["score"]["reason"] == "GateNotMet"
    for name in ("base", "tune", "score"):
        assert (after[name]["revision"], after[name]["attempt"]) == (
            before[name]["revision"],
            before[name]["attempt"],
        )
    conditions = {item["type"]: item["status"] for item in command.status(NAME)["conditions"]}
    assert (conditions["Ready"], conditions["Available"]) == ("False", "True")
    assert engine_of(command) == engine != set()
    assert ask(serving["url"], "Iron Harbor was released in 2009.")


@pytest.mark.capability("gates")
def test_a_model_that_learned_nothing_is_never_served(
    serving: dict[str, Any], command: Command, demo_workflow: Workflow
) -> None:
    before, engine = command.stages(NAME), engine_of(command)
    edited = deepcopy(demo_workflow)
    stage_of(edited, "tune")["fineTune"]["training"] |= {"learningRate": 0, "maxSteps": 8}

    assert command.run(edited).returncode == 1

    after = command.stages(NAME)
    assert after["base"]["revision"] == before["base"]["revision"]
    assert after["tune"]["revision"] != before["tune"]["revision"]
    assert after["tune"]["state"] == "Succeeded"
    assert after["score"]["reason"] == "GateNotMet"
    assert after["score"]["metrics"]["exactMatch"]["value"] <= 0.2
    assert engine_of(command) == engine
    assert ask(serving["url"], "Iron Harbor was released in 2009.")


@pytest.mark.capability("local")
def test_what_was_done_is_reused_and_nothing_is_left_behind(
    serving: dict[str, Any], command: Command, demo_workflow: Workflow
) -> None:
    first = command.stages(NAME)
    assert command("stop", NAME, timeout=180).returncode == 0
    assert command.processes(NAME) == []

    assert command.run(demo_workflow, "--exit-when-ready").returncode == 0

    after = command.stages(NAME)
    for name in ("base", "tune", "score"):
        assert after[name]["artifact"] == next(
            stage["artifact"] for stage in serving["stages"] if stage["name"] == name
        )
    assert after["tune"]["revision"] != first["tune"]["revision"]
    assert command.processes(NAME) == []
