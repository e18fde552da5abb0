"""What SGLang's engine is told, in its own words; what needs the package itself is in tests/integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llmworkflow_jobs import config, sglang_engine
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inference_model import Adapter, InferenceModel

L4 = {"type": "L4", "count": 1}
MODEL = InferenceModel("org/name", "/cache/abc", revision="abc")


@pytest.mark.capability("sglang")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            {"max_tokens": 8, "min_tokens": 2, "seed": 1, "temperature": 0.0, "stop": ["."]},
            {"max_new_tokens": 8, "min_new_tokens": 2, "sampling_seed": 1, "temperature": 0.0, "stop": ["."]},
        ),
        ({"top_k": 0, "seed": None}, {"top_k": -1}),
        ({"top_k": 5, "ignore_eos": True}, {"top_k": 5, "ignore_eos": True}),
        ({"structured_outputs": {"json": "{}", "regex": None}}, {"json_schema": "{}"}),
        ({"structured_outputs": {"regex": "[0-9]"}}, {"regex": "[0-9]"}),
        ({"structured_outputs": {"grammar": "root ::= a"}}, {"ebnf": "root ::= a"}),
        ({"structured_outputs": {"choice": ["yes", 'a "no"']}}, {"ebnf": r'root ::= "yes" | "a \"no\""'}),
    ],
)
def test_sampling_parameters(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert sglang_engine.sampling_parameters(ours) == theirs


@pytest.mark.capability("sglang")
@pytest.mark.parametrize(
    ("accelerator", "fields", "expected"),
    [
        (L4, {}, {"tp_size": 1}),
        (L4 | {"count": 2}, {"parallelism": {"tensor": 2}}, {"tp_size": 2}),
        (L4 | {"count": 0.5}, {}, {"tp_size": 1, "mem_fraction_static": 0.4}),
        (L4, {"engineKwargs": {"mem_fraction_static": 0.7}}, {"tp_size": 1, "mem_fraction_static": 0.7}),
    ],
)
def test_arguments(
    stage_config: Callable[..., Any], accelerator: Any, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    job = config.parse(stage_config("batch", accelerator=accelerator, **fields))
    common = {"trust_remote_code": False, "revision": "abc", "skip_tokenizer_init": False}
    assert sglang_engine.arguments(job, MODEL) == common | expected


def test_adapters_are_refused_on_a_cpu(stage_config: Callable[..., Any]) -> None:
    job = config.parse(stage_config("batch"))
    with pytest.raises(JobError, match="whose adapters need a GPU"):
        sglang_engine.arguments(job, InferenceModel("/m", "/m", adapter=Adapter("/a", 8, "volume:a")))


def test_an_engine_lies_on_one_machine(
    stage_config: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sglang_engine, "find_spec", lambda name: name)
    job = config.parse(stage_config("batch", accelerator=L4, parallelism={"tensor": 2}))
    with pytest.raises(JobError, match="which has 1 accelerators"):
        sglang_engine.check(job)


@pytest.mark.capability("sglang")
def test_a_job_that_finds_no_sglang_says_what_brings_it(stage_config: Callable[..., Any]) -> None:
    with pytest.raises(JobError, match="there is no module sglang; add sglang to") as caught:
        sglang_engine.check(config.parse(stage_config("batch", engine="sglang")))
    assert (caught.value.reason, caught.value.retryable) == ("ImageLacksPackage", False)


@pytest.mark.parametrize(
    ("kwargs", "ignored"), [({}, ("seed",)), ({"enable_deterministic_inference": True}, ())]
)
def test_seeds_are_read_in_the_deterministic_mode(kwargs: dict[str, Any], ignored: tuple[str, ...]) -> None:
    assert sglang_engine.ignored({"engineKwargs": kwargs}) == ignored
