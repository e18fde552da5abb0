"""What is wrong with a fine-tuning is said in one line: field, value and remedy."""

# ruff: noqa: E501 -- tables of whole lines

from __future__ import annotations

from typing import Any

import pytest

from .examples import WIDE
from .problems import ELASTIC, SERVED, STAGES, TUNE, problems


@pytest.mark.parametrize(
    ("lora", "line"),
    [
        ({"useDora": True}, "lora.useDora = true: the engine cannot load a DoRA adapter"),
        ({"modulesToSave": ["lm_head"]}, 'lora.modulesToSave[0] = "lm_head": the engine cannot load an adapter with whole layers'),
    ],
)  # fmt: skip
def test_adapters_that_engines_cannot_load(lora: dict[str, Any], line: str) -> None:
    told = [
        f"spec.stages[0].fineTune.{line}; turn it off, set export.merge, or do not use the adapter in stage {user}"
        for user in ("score", "chat")
    ]
    edit = ((*TUNE, "lora"), lora)
    assert problems(edit) == told
    assert problems(edit, ((*TUNE, "export"), {"merge": True})) == []


@pytest.mark.parametrize(
    ("tune", "distributed", "line"),
    [
        ({"workers": {"count": 1}}, {"fsdp": {}}, ".fsdp: there is one worker, and nothing to spread the model over; set workers.count to 2 or more"),
        ({"workers": {"min": 1, "max": 2}}, {"fsdp": {}}, ".fsdp: there is one worker, and nothing to spread the model over; set workers.min to 2 or more"),
        ({"workers": ELASTIC}, {"deepspeed": {}}, ".deepspeed: its checkpoints are for the number of workers that wrote them; set workers.count in place of min and max, or use fsdp"),
        ({"workers": {"count": 2}}, {"deepspeed": {"zero_optimization": {"stage": 4}}}, '.deepspeed.zero_optimization.stage = "4": is no stage of ZeRO; set one of 0, 1, 2, 3'),
        ({"workers": {"count": 2}, "method": "qlora"}, {"fsdp": {}}, ": weights that method qlora has quantised cannot be spread; use lora, or leave it out"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_be_spread(tune: dict[str, Any], distributed: Any, line: str) -> None:
    edits: list[Any] = [((*TUNE, name), value) for name, value in tune.items()]
    edits.append((("spec", "ray", "queue"), None))  # which takes no elastic workers
    told = problems(*edits, ((*TUNE, "training", "distributed"), distributed))
    assert told == [f"spec.stages[0].fineTune.training.distributed{line}"]
    assert problems(*edits) == []


def test_adapter_of_an_embedding_cannot_be_loaded() -> None:
    line = (
        'spec.stages[0].fineTune.lora.targetModules[1] = "lm_head": the engine cannot load an adapter of this layer; '
        "leave it out"
    )
    assert problems(((*TUNE, "lora", "targetModules"), ["q_proj", "lm_head"])) == [line]


def test_a_whole_model_is_no_adapter() -> None:
    assert problems(((*STAGES, 2, "fineTune", "config", "finetuning_type"), "full"), path=WIDE) == [
        'spec.stages[5].batch.adapters[0].stage = "second": this stage makes a whole model, no adapter; use model instead',
        'spec.stages[6].serve.models[1].adapters[0].stage = "second": this stage makes a whole model, no adapter; use model instead',
    ]


@pytest.mark.parametrize(("field", "value"), [("method", "qlora"), ("training.precision", "fp16")])
def test_what_needs_a_gpu(field: str, value: str) -> None:
    edit = ((*TUNE, *field.split(".")), value)
    assert problems(edit) == []
    assert len(problems(edit, (("spec", "ray", "accelerator"), None))) == 1


def test_elastic_workers_divide_the_batch_at_both_ends() -> None:
    free = (("spec", "ray", "queue"), None)
    assert problems(free, ((*TUNE, "workers"), {"min": 2, "max": 8})) == []
    assert len(problems(free, ((*TUNE, "workers"), {"min": 3, "max": 5}))) == 2


def test_a_full_fine_tuning_has_no_adapter() -> None:
    full = ((*TUNE, "method"), "full")
    assert problems(full) == []
    assert problems(full, ((*TUNE, "lora", "rank"), 4)) == [
        "spec.stages[0].fineTune.lora: method full has no adapter; remove lora, or use method lora"
    ]


@pytest.mark.parametrize(("own", "rank"), [({"lora_rank": 32}, 32), ({}, 8)])
def test_an_adapter_of_llama_factory_has_the_rank_of_its_yaml(own: dict[str, int], rank: int) -> None:
    engine = {"engine": "llamaFactory", "config": {"stage": "sft", **own}}
    tune = {"data": {"train": [{"uri": "s3://a/b"}]}, **engine}
    assert problems((TUNE, tune), ((*SERVED, "lora", "maxRank"), rank)) == []
    (problem,) = problems((TUNE, tune), ((*SERVED, "lora", "maxRank"), rank - 1))
    assert f"the adapter of stage tune has rank {rank}; raise maxRank to {rank}" in problem


def test_options_of_llama_factory_are_in_its_own_yaml() -> None:
    own = {"engine": "llamaFactory", "config": {"stage": "sft"}}
    chosen = {"data": {"train": [{"uri": "s3://a/b"}]}, "training": {"maxSamples": 10, "seed": 1}}
    assert problems((TUNE, own | chosen)) == []
    assert problems((TUNE, own | {"lora": {"rank": 4}, "training": {"learningRate": 1e-5, "seed": 1}})) == [
        f"spec.stages[0].fineTune.{field}: engine llamaFactory has its options in config; remove it, and set it there"
        for field in ("lora", "training.learningRate", "training.seed")
    ]


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("method", "full", 'method = "full": engine llamaFactory has its options in config; remove it, and set config.finetuning_type'),
        ("objective", "dpo", 'objective = "dpo": engine llamaFactory has its options in config; remove it, and set config.stage'),
        ("workers", {"count": 3}, "workers.count = 3: engine llamaFactory trains in one worker; remove it, and give the worker more accelerators (ray.accelerator.count)"),
        ("workers", {"min": 1, "max": 2}, "workers.min = 1: engine llamaFactory trains in one worker; remove it, and give the worker more accelerators (ray.accelerator.count)"),
    ],
)  # fmt: skip
def test_llama_factory_says_itself_what_it_trains(field: str, value: Any, told: str) -> None:
    own = {"engine": "llamaFactory", "config": {"dataset": "pairs"}}
    free = (("spec", "ray", "queue"), None)  # which takes no elastic workers
    assert problems(free, (TUNE, own | {field: value})) == [f"spec.stages[0].fineTune.{told}"]


@pytest.mark.capability("preferences")
@pytest.mark.parametrize(
    ("objective", "training", "told"),
    [
        ("dpo", {"packing": True}, "packing = true: objective dpo cannot have what it compares put apart; leave it out"),
        ("kto", {"lossOn": "all"}, 'lossOn = "all": objective kto compares responses alone; leave it out'),
        ("kto", {"perDeviceTrainBatchSize": 1}, "perDeviceTrainBatchSize = 1: objective kto compares the rows of a batch; set it to 2 or more"),
    ],
)  # fmt: skip
def test_what_an_objective_cannot_do(objective: str, training: dict[str, Any], told: str) -> None:
    data = {"train": [{"uri": "s3://a/b"}]}
    tune = {"data": data, "objective": objective, "training": {"perDeviceTrainBatchSize": 2} | training}
    assert problems((TUNE, tune)) == [f"spec.stages[0].fineTune.training.{told}"]
    assert problems((TUNE, tune | {"training": {"perDeviceTrainBatchSize": 2}})) == []


def test_kto_without_a_comparison_takes_single_rows() -> None:
    tune = {
        "data": {"train": [{"uri": "s3://a/b"}]},
        "objective": "kto",
        "preference": {"lossType": "apo_zero_unpaired"},
    }
    assert problems((TUNE, tune)) == []
