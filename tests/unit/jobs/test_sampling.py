"""From the resource's sampling to vLLM's parameters, with the defaults of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import sampling
from llmworkflow_jobs.errors import JobError

UNSET: dict[str, Any] = {
    "temperature": 0.0, "topP": None, "topK": None, "maxTokens": 250, "minTokens": None, "seed": None, "stop": [],
    "repetitionPenalty": None, "presencePenalty": None, "frequencyPenalty": None, "extra": {},
}  # fmt: skip


def test_only_what_is_set_is_requested() -> None:
    assert sampling.requested(UNSET) == {"temperature": 0.0, "max_tokens": 250}


def test_names_become_vllms() -> None:
    given = UNSET | {
        "topP": 0.9,
        "topK": 0,
        "stop": ["\n"],
        "repetitionPenalty": 1.1,
        "extra": {"min_p": 0.1},
    }
    assert sampling.requested(given) == {
        "temperature": 0.0, "max_tokens": 250, "top_p": 0.9, "top_k": 0, "stop": ["\n"], "repetition_penalty": 1.1,
        "min_p": 0.1,
    }  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with sampling defaults as Qwen2.5 has them."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    (tmp_path / "generation_config.json").write_text(
        json.dumps(
            {
                "do_sample": True,
                "temperature": 0.7,
                "top_p": 0.8,
                "repetition_penalty": 1.05,
                "eos_token_id": [2],
            }
        )
    )
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [("model", {"temperature": 0.7, "top_p": 0.8, "repetition_penalty": 1.05}), ("vllm", {})],
)
def test_defaults_of_the_model(model: Path, source: str, expected: dict[str, float]) -> None:
    section = {"generationConfig": source, "trustRemoteCode": False}
    assert sampling.model_defaults(section, str(model)) == expected


def test_a_model_without_defaults_has_none(model: Path) -> None:
    (model / "generation_config.json").unlink()
    assert sampling.model_defaults({"generationConfig": "model", "trustRemoteCode": False}, str(model)) == {}


def test_what_is_set_wins_over_the_model() -> None:
    assert sampling.effective({"temperature": 0.0}, {"temperature": 0.7, "top_p": 0.8}) == {
        "temperature": 0.0,
        "top_p": 0.8,
    }


@pytest.mark.parametrize(
    ("parameters", "reproducible"),
    [
        ({"temperature": 0.0}, True),
        ({"temperature": 0.7}, False),
        ({}, False),  # vLLM's own temperature is 1
        ({"temperature": 0.7, "seed": 0}, True),
    ],
)
def test_greedy_and_seeded_sampling_can_be_repeated(parameters: dict[str, Any], reproducible: bool) -> None:
    assert sampling.is_reproducible(parameters) is reproducible


@pytest.mark.parametrize(("name", "why"), [("n", "a row has one answer"), ("logprobs", "no probabilities")])
def test_what_would_be_computed_for_nobody_is_refused(name: str, why: str) -> None:
    with pytest.raises(JobError, match=rf"sampling\.extra\.{name} cannot be set: .*{why}"):
        sampling.check_names({name: 5}, {}, [name], "vLLM")
