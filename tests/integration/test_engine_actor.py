"""The engine's actor in the real Ray Data, with the real vLLM on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llmworkflow_jobs import config, engine, engine_actor, placement
from llmworkflow_jobs.inference_model import InferenceModel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TOO_LONG = 17
# Two rows with parameters of their own, the second of which vLLM refuses.
SHORTER, IMPOSSIBLE = 21, 22
# One that fills the model's context of 512 tokens before it has all the tokens that it may have.
CROWDED = 30


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Token ids of 40 rows, one of which is longer than the model takes."""
    rows = [[5 + number, 40, 60 + number, 7] for number in range(40)]
    rows[TOO_LONG] = [9] * 2000
    rows[CROWDED] = [9] * 505
    return rows


@pytest.fixture(scope="module")
def answers(
    ray_session: str,
    tiny_model: Path,
    inference_volume: Path,
    stage_document: Callable[..., Any],
    prompts: list[list[int]],
) -> list[dict[str, Any]]:
    """Answers of five batches, three of which are under way at once, in the order of the prompts."""
    from ray.data import ActorPoolStrategy, from_arrow

    job = config.parse(stage_document("batch", inference_volume.as_uri()))
    model = InferenceModel(str(tiny_model), str(tiny_model))
    arguments = engine.arguments(job, model, job.section)
    asked = [
        {"request_index": index, "tokenized_prompt": prompt, "model": model.source}
        for index, prompt in enumerate(prompts)
    ]
    parameters = {"temperature": 0.0, "max_tokens": 12, "ignore_eos": True}
    for row in asked:
        row["sampling_params"] = dict(parameters)
    asked[SHORTER]["sampling_params"]["max_tokens"] = 5
    asked[IMPOSSIBLE]["sampling_params"]["max_tokens"] = -1
    dataset = from_arrow([pa.Table.from_pylist(asked[start : start + 8]) for start in range(0, 40, 8)])
    answered = dataset.map_batches(
        engine_actor.Engine,
        fn_constructor_args=(model.source, arguments, parameters),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=1, max_tasks_in_flight_per_actor=6, max_concurrent_calls_per_actor=3),
        runtime_env={"env_vars": engine.CPU_ENVIRONMENT},
        **placement.of_actor(job, job.section),
    )
    return sorted(answered.take_all(), key=lambda row: row["request_index"])


@pytest.mark.capability("generate")
def test_each_row_is_answered_once(answers: list[dict[str, Any]]) -> None:
    assert [row["request_index"] for row in answers] == list(range(40))
    assert all(row["seconds"] > 0 for row in answers)


def test_rows_that_the_engine_refuses_have_an_error(answers: list[dict[str, Any]]) -> None:
    assert "maximum" in answers[TOO_LONG]["error"]
    assert "max_tokens" in answers[IMPOSSIBLE]["error"]
    assert [index for index, row in enumerate(answers) if row["error"]] == [TOO_LONG, IMPOSSIBLE]


def test_a_row_may_bring_its_own_parameters(answers: list[dict[str, Any]]) -> None:
    assert [len(answers[index]["token_ids"]) for index in (0, SHORTER, 39)] == [12, 5, 12]


def test_an_answer_that_the_context_cuts_is_told(answers: list[dict[str, Any]]) -> None:
    assert len(answers[CROWDED]["token_ids"]) < 12
    assert [answers[index]["truncated"] for index in (0, CROWDED, TOO_LONG)] == [True, True, False]


@pytest.mark.capability("generate")
def test_answers_are_those_of_transformers(
    answers: list[dict[str, Any]], prompts: list[list[int]], tiny_model: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    for index in (0, 16, 39):
        ids = torch.tensor([prompts[index]])
        expected = model.generate(ids, do_sample=False, max_new_tokens=12, min_new_tokens=12, eos_token_id=-1)
        assert list(answers[index]["token_ids"]) == expected[0, ids.shape[1] :].tolist()
