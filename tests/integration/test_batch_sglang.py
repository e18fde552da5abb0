"""A batch whose rows SGLang answers: its real engine and Ray's own stage for it, on a CPU."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.conftest import StartJob, job_starter
from tests.integration.sglang_packages import environment
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from llmworkflow_jobs import config

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

WAIT = 600  # seconds, in which it is imported by three processes one after the other


@pytest.fixture(scope="module")
def start_with_sglang(tmp_path_factory: pytest.TempPathFactory, ray_session: str) -> Iterator[StartJob]:
    """`job_starter` for jobs that have SGLang."""
    with job_starter(tmp_path_factory.mktemp("sglang"), ray_session, environment()) as start:
        yield start


FORMS = [
    {"structured": {"choice": ["release", "year"]}},
    {"structured": {"regex": "[0-9]{4}"}},
    {"structured": {"jsonSchema": {"enum": ["what", "is"]}}},
    {"structured": {"grammar": 'root ::= "name"'}},
    {"maxTokens": 1},
    {"seed": 3},
]


@pytest.fixture(scope="module")
def prompts(inference_volume: Path) -> list[dict[str, Any]]:
    """Rows that ask for nothing of their own."""
    lines = (inference_volume / "test.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[:8]]


@pytest.fixture(scope="module")
def lively_model(inference_volume: Path, tiny_model: Path) -> Path:
    """The tiny model with larger weights, so that every prompt has another answer."""
    folder = inference_volume / "lively"
    shutil.copytree(tiny_model, folder)
    torch.manual_seed(0)
    settings = AutoConfig.from_pretrained(tiny_model, initializer_range=0.5)
    AutoModelForCausalLM.from_config(settings).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def answered(
    inference_volume: Path,
    lively_model: Path,
    prompts: list[dict[str, Any]],
    stage_document: Callable[..., Any],
    start_with_sglang: StartJob,
) -> list[dict[str, Any]]:
    """What SGLang has made of the prompts, of rows with forms of their own, and of one that is too long."""
    own = [row | {"how": json.dumps(form)} for row, form in zip(prompts, FORMS, strict=False)]
    rows = [*prompts, *own, {"instruction": "inform", "input": "name " * 2000}]
    (inference_volume / "sglang.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    document = stage_document(
        "batch",
        inference_volume.as_uri(),
        stage={"name": "sglang"},
        engine="sglang",
        model={"source": f"volume:{lively_model.name}"},
        input={"uri": "volume:sglang.jsonl"},
        sampling={"column": "how", "extra": {"no_stop_trim": False}},
        engineKwargs={"context_length": 512},
        onRowError="continue",
        checkpoint=True,
    )
    report = start_with_sglang("batch", document).wait(timeout=WAIT)
    assert report["state"] == "Succeeded", report
    assert [report["metrics"][name]["value"] for name in ("rows", "rowErrors")] == [15, 2]
    folder = Path(config.parse(document).output_uri.removeprefix("file://")) / "rows"
    return [json.loads(line) for line in (folder / "part-00000.jsonl").read_text().splitlines()]


@pytest.mark.capability("sglang")
def test_rows_have_forms_and_errors_of_their_own(answered: list[dict[str, Any]]) -> None:
    choice, regex, schema, grammar, short, seed, long = answered[8:]
    assert choice["generated_text"] in ("release", "year")
    assert re.fullmatch("[0-9]{4}", regex["generated_text"])
    assert json.loads(schema["generated_text"]) in ("what", "is")
    assert grammar["generated_text"] == "name"
    assert (short["num_generated_tokens"], short["truncated"]) == (1, True)
    assert "seed is 3, which the engine would ignore" in seed["error"]
    assert "context length" in long["error"]
    assert {row["error"] for row in answered[:13]} == {None}


@pytest.mark.capability("sglang")
def test_answers_are_those_of_the_model(
    lively_model: Path, prompts: list[dict[str, Any]], answered: list[dict[str, Any]]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(lively_model)
    tokenizer = AutoTokenizer.from_pretrained(lively_model)
    for row, answer in zip(prompts, answered, strict=False):
        asked = [{"role": "user", "content": f"{row['instruction']}\n{row['input']}"}]
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
        told = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0].tolist()
        length = prompt["input_ids"].shape[1]
        assert (answer["num_input_tokens"], answer["generated_token_ids"]) == (length, told[length:])


def test_names_that_sglang_lacks_are_refused_before_it_starts(
    inference_volume: Path, stage_document: Callable[..., Any], start_with_sglang: StartJob
) -> None:
    document = stage_document(
        "batch",
        inference_volume.as_uri(),
        stage={"name": "misspelt"},
        engine="sglang",
        engineKwargs={"mem_fraction_statik": 0.8},
    )
    report = start_with_sglang("batch", document).wait(timeout=WAIT)
    assert report["error"]["reason"] == "OptionInvalid", report
    assert "did you mean mem_fraction_static?" in report["error"]["message"]


def test_a_job_without_sglang_says_so_at_once(
    inference_volume: Path, stage_document: Callable[..., Any], start_shared_job: StartJob
) -> None:
    document = stage_document("batch", inference_volume.as_uri(), stage={"name": "none"}, engine="sglang")
    report = start_shared_job("batch", document).wait(timeout=60)
    assert report["error"]["reason"] == "ImageLacksPackage", report
    assert not report["error"]["retryable"]


def test_texts_are_those_of_the_tokens(lively_model: Path, answered: list[dict[str, Any]]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(lively_model)
    ids = [row["generated_token_ids"] for row in answered[:13]]
    assert [row["generated_text"] for row in answered[:13]] == tokenizer.batch_decode(
        ids, skip_special_tokens=True
    )
