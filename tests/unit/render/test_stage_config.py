"""The configuration of a job: the spec with its defaults, less secrets, plus what the plan knows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import Incumbent
from llmworkflow.render.environment import secret_variables
from llmworkflow.render.ray_settings import stage_named
from llmworkflow.render.settings import Settings
from llmworkflow.render.stage_config import stage_config

from .builders import SCORED, TUNED, WORK, make_workflow

URI = "file:///mnt/storage"


def config_of(stage: str, **spec: Any) -> dict[str, Any]:
    return stage_config(make_workflow(**spec), WORK[stage], URI)


def test_every_job_is_told_who_it_is_and_where_things_lie() -> None:
    found = config_of("tune")
    assert found["schemaVersion"] == 1
    assert found["workflow"] == {"namespace": "team", "name": "viggo", "uid": "8a0e6b1c"}
    assert found["stage"] == {"name": "tune", "kind": "fineTune", "revision": "1a1a1a1a1a1a", "attempt": 1}
    assert found["storage"] == {"uri": URI, "path": "team/viggo", "endpoint": None, "adopt": False}
    assert set(found) == {
        *("schemaVersion", "workflow", "stage", "storage", "accelerator", "model", "prompt"),
        *("inputs", "incumbents", "pinned", "fineTune"),
    }


def test_defaults_are_filled_in_and_names_are_camel_case() -> None:
    training = config_of("tune")["fineTune"]["training"]
    assert (training["numTrainEpochs"], training["lrSchedulerType"]) == (3.0, "cosine")


def test_storage_path_of_the_user() -> None:
    storage = {"volume": {"claimName": "artifacts"}, "path": "shared/games"}
    assert config_of("tune", storage=storage)["storage"]["path"] == "shared/games"


def test_inputs_carry_artifacts() -> None:
    artifact = (
        {"uri": TUNED.artifact.uri, "digest": "sha256:11", "type": "adapter"} if TUNED.artifact else None
    )
    assert config_of("score")["inputs"] == {
        "tune": {
            "stage": "tune",
            "kind": "fineTune",
            "revision": "1a1a1a1a1a1a",
            "attempt": 1,
            "artifact": artifact,
        }
    }


def test_incumbents_and_pinned_inputs() -> None:
    incumbent = Incumbent(**vars(SCORED), confidence=0.9)
    work = replace(
        WORK["score"], incumbents={"serving": incumbent}, pinned={"volume:test.jsonl": "sha256:33"}
    )
    found = stage_config(make_workflow(), work, URI)
    told = found["incumbents"]["serving"]
    assert (told["revision"], told["confidence"]) == ("2b2b2b2b2b2b", 0.9)
    assert told["artifact"]["type"] == "rows"
    assert found["pinned"] == {"volume:test.jsonl": "sha256:33"}


@pytest.mark.capability("accelerators")
@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [
        (None, None),
        ({"count": 0}, None),
        ({"name": "l4"}, {"type": "L4", "count": 1}),
        ({"name": "h100", "count": 4}, {"type": "H100", "count": 4}),
        ({"name": "l4", "count": 0.5}, {"type": "L4", "count": 0.5}),
        ({"type": "A100", "count": 2}, {"type": "A100", "count": 2}),
        ({"name": "of-another-cluster"}, {"type": None, "count": 1}),
    ],
)
def test_accelerator(accelerator: dict[str, Any] | None, expected: dict[str, Any] | None) -> None:
    found = config_of("tune", ray={"accelerator": accelerator})["accelerator"]
    assert found == expected
    assert isinstance(found and found["count"], type(expected and expected["count"]))


def test_requests_to_an_endpoint_take_no_accelerator() -> None:
    http = {"task": "http", "http": {"url": "https://api.example.com/v1"}, "model": None}
    assert config_of("score", stages={"score": {"batch": http}})["accelerator"] is None


@pytest.mark.capability("secrets")
def test_no_reference_to_a_secret_is_left() -> None:
    key = {"secretKeyRef": {"name": "the-secret", "key": "the-key"}}
    every = {"secretRef": {"name": "the-secret"}}
    workflow = make_workflow(
        model={"source": "hf://org/model", "tokenFrom": key},
        storage={"uri": "s3://bucket/team", "credentialsFrom": every},
        stages={
            "tune": {"fineTune": {"data": {"train": [{"uri": "s3://data/x", "credentialsFrom": every}]}}},
            "chat": {"serve": {"models": [{"modelId": "viggo"}], "apiKeysFrom": key}},
        },
    )
    for work in WORK.values():
        text = json.dumps(stage_config(workflow, work, URI))
        assert "the-secret" not in text
        assert "the-key" not in text


def test_a_row_may_have_columns_of_any_name() -> None:
    rows = [{"tokenFrom": "a", "credentialsFrom": "b"}]
    found = config_of("score", stages={"score": {"batch": {"input": {"uri": None, "items": rows}}}})
    assert found["batch"]["input"]["items"] == rows


def test_a_promotion_does_not_change_what_engines_start_with() -> None:
    workflow, work = make_workflow(), WORK["chat"]
    inputs = {"tune": replace(TUNED, revision="e" * 12), "score": SCORED}
    newer = replace(work, revision="f" * 12, attempt=3, inputs=inputs)
    assert stage_config(workflow, work, URI) == stage_config(workflow, newer, URI)
    judged_otherwise = make_workflow(
        stages={"chat": {"serve": {"verify": {"rows": 4}, "upgrade": "replace"}}}
    )
    assert stage_config(workflow, work, URI) == stage_config(judged_otherwise, work, URI)


def test_a_full_model_is_what_engines_start_with() -> None:
    assert TUNED.artifact is not None
    full = replace(TUNED, artifact=TUNED.artifact.model_copy(update={"type": "model"}))
    work = replace(WORK["chat"], inputs={"tune": full, "score": SCORED})
    assert list(stage_config(make_workflow(), work, URI)["inputs"]) == ["tune"]


def test_profiles_of_the_installation() -> None:
    settings = Settings.model_validate({"accelerators": {"small": {"type": "T4"}}})
    workflow = make_workflow(ray={"accelerator": {"name": "small"}})
    assert stage_config(workflow, WORK["tune"], URI, settings)["accelerator"] == {"type": "T4", "count": 1}


def asking_a_served_model(**through: str) -> LLMWorkflow:
    keys = {"secretKeyRef": {"name": "viggo-keys", "key": "keys"}}
    ask = {
        "batch": {
            "task": "serve",
            "model": None,
            "through": {"stage": "chat", **through},
            "input": {"uri": "volume:more.jsonl"},
        }
    }
    return make_workflow(stages={"chat": {"serve": {"apiKeysFrom": keys}}, "ask": ask})


@pytest.mark.parametrize(("through", "model"), [({}, "viggo"), ({"model": "viggo:games"}, "viggo:games")])
def test_a_batch_is_told_where_the_stage_serves_that_it_asks(through: dict[str, str], model: str) -> None:
    workflow = asking_a_served_model(**through)
    found = stage_config(workflow, replace(WORK["score"], stage="ask", inputs={}), URI)
    assert found["batch"]["through"] == {
        "stage": "chat",
        "model": model,
        "url": "http://viggo-chat-serve-svc.team.svc:8000",
    }


def test_a_batch_gets_the_keys_of_the_stage_that_it_asks() -> None:
    workflow = asking_a_served_model()
    variables = secret_variables(workflow, stage_named(workflow, "ask"))
    assert variables["LLMWORKFLOW_HTTP_API_KEY"].secret_key_ref.name == "viggo-keys"


@pytest.mark.capability("chains")
def test_a_batch_may_have_a_prompt_of_its_own() -> None:
    custom = {"format": "custom", "custom": {"user": "Shorten: {{ row.draft }}"}}
    stages = {"score": {"batch": {"prompt": custom}}}
    assert config_of("score", stages=stages)["prompt"]["custom"]["user"] == "Shorten: {{ row.draft }}"
    assert config_of("tune", stages=stages)["prompt"]["format"] == "alpaca"


@pytest.mark.capability("steps")
def test_steps_have_their_resources_in_numbers() -> None:
    pipeline = {"preprocess": {"cpu": "500m", "memory": "1Gi", "concurrency": 4}}
    told = config_of("score", stages={"score": {"batch": {"pipeline": pipeline}}})["batch"]["pipeline"]
    assert told["preprocess"] == {"concurrency": 4, "batchSize": None, "cpu": 0.5, "memory": 1 << 30}
    assert told["postprocess"]["cpu"] is None
