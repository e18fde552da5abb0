"""A fully fine-tuned model through its batch to its endpoint, with a prompt and decoding of its own all the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .endpoint import Endpoint, serving

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]

PROMPT = {
    "chatTemplate": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% if not enable_thinking %}(done){% endif %}{% endif %}",
    "chatTemplateKwargs": {"enable_thinking": True},
    "assistantPrefill": "name: ",
}


def artifact_of(start_shared_job: Any, module: str, config: dict[str, Any]) -> dict[str, str]:
    """What a job makes, which has to succeed."""
    report = start_shared_job(module, config).wait(400)
    assert report["state"] == "Succeeded", report
    artifact: dict[str, str] = report["artifact"]
    return artifact


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A volume with rows, and a model whose own decoding is not vLLM's."""
    volume = tmp_path_factory.mktemp("full")
    shutil.copytree(tiny_model, volume / "model")
    settings = json.loads((volume / "model" / "generation_config.json").read_text())
    (volume / "model" / "generation_config.json").write_text(
        json.dumps(settings | {"repetition_penalty": 1.5})
    )
    rows = [
        {"instruction": "inform", "input": f"name {n}", "output": f"name: {n} of the year"} for n in range(32)
    ]
    (volume / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (volume / "test.csv").write_text("instruction,input\n" + "".join(f"inform,name {n}\n" for n in range(20)))
    return volume


@pytest.fixture(scope="module")
def inputs(volume: Path, stage_document: Callable[..., Any], start_shared_job: Any) -> dict[str, Any]:
    """The inputs of stages after a full fine-tuning."""
    config = stage_document(
        "fineTune",
        volume.as_uri(),
        stage={"name": "tune"},
        prompt=PROMPT,
        method="full",
        training={"maxSteps": 20},
    )
    made = artifact_of(start_shared_job, "fine_tune", config)
    assert made["type"] == "model"
    stage = {"stage": "tune", "kind": "fineTune", "revision": "0123456789ab", "attempt": 1}
    return {"tune": stage | {"artifact": made}}


@pytest.mark.capability("training-steps")
def test_a_further_training_starts_from_it(
    volume: Path, inputs: dict[str, Any], stage_document: Callable[..., Any], start_shared_job: Any
) -> None:
    config = stage_document(
        "fineTune",
        volume.as_uri(),
        stage={"name": "prefer"},
        inputs=inputs,
        prompt=PROMPT,
        export={"merge": True},
        training={"maxSteps": 2},
    )
    config["fineTune"]["model"] = {"stage": "tune"}
    made = artifact_of(start_shared_job, "fine_tune", config)
    assert made["type"] == "model"
    manifest = json.loads((Path(made["uri"].removeprefix("file://")) / "manifest.json").read_text())
    assert manifest["base"]["source"] == f"{inputs['tune']['artifact']['uri']}/model"


@pytest.fixture(scope="module")
def rows_of(
    volume: Path, inputs: dict[str, Any], stage_document: Callable[..., Any], start_shared_job: Any
) -> dict[str, str]:
    """The artifact of a batch that the tuned model has answered."""
    config = stage_document(
        "batch",
        volume.as_uri(),
        stage={"name": "score"},
        inputs=inputs,
        prompt=PROMPT,
        input={"uri": "volume:test.csv"},
    )
    config["batch"]["model"] = {"stage": "tune"}
    return artifact_of(start_shared_job, "batch", config)


@pytest.fixture(scope="module")
def endpoint(
    volume: Path,
    inputs: dict[str, Any],
    stage_document: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Endpoint]:
    """An endpoint of the tuned model."""
    config = stage_document("serve", volume.as_uri(), stage={"name": "chat"}, inputs=inputs, prompt=PROMPT)
    config["serve"]["models"][0]["model"] = {"stage": "tune"}
    with serving(tmp_path_factory.mktemp("serve-full"), config) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def verdict(inputs: dict[str, Any], rows_of: dict[str, str], endpoint: Endpoint) -> dict[str, Any]:
    """What the endpoint says once it has replayed the batch."""
    tuned = {"stage": "tune", "revision": "0123456789ab", "attempt": 1, **inputs["tune"]["artifact"]}
    return endpoint.change(tuned, {"rows": 16, "agreement": 1.0, "rowsOf": rows_of}, seconds=500)


@pytest.mark.capability("full-models")
def test_endpoint_answers_as_the_batch_did(verdict: dict[str, Any]) -> None:
    """Prompt and answer of each row are the same, token for token: template, its options, prefill and decoding too."""
    assert verdict["passed"], verdict
    assert (verdict["rows"], verdict["agreement"]) == (16, 1.0)


@pytest.mark.capability("sampling-defaults")
@pytest.mark.usefixtures("verdict")
def test_requests_that_say_nothing_are_decoded_as_the_model_asks(endpoint: Endpoint) -> None:
    def tokens(**options: Any) -> list[int]:
        reply = endpoint.client.chat.completions.create(
            model="viggo",
            messages=[{"role": "user", "content": "inform\nname 3"}],
            temperature=0,
            max_tokens=40,
            extra_body={"return_token_ids": True, "ignore_eos": True, **options},
        )
        found: list[int] = reply.choices[0].model_dump()["token_ids"]
        return found

    own = tokens()
    assert own == tokens(repetition_penalty=1.5)
    assert own != tokens(repetition_penalty=1.0)
