"""What a model takes of an accelerator, beside figures that others publish and that a GPU showed."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.spec.fine_tune import FineTune
from llmworkflow.core.memory import (
    GIB,
    OVERHEAD,
    ShapeUnknownError,
    lora_parameters,
    of_engine,
    of_training,
    shape_of,
)

from .shapes import QWEN_7B

QWEN_HALF = QWEN_7B | {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}
MIXTRAL = LLAMA_8B | {"model_type": "mixtral", "vocab_size": 32000, "num_local_experts": 8}
QWEN_30B_A3B = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "vocab_size": 151936,
}


@pytest.mark.capability("memory")
@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (QWEN_7B, 7_615_616_512),
        (QWEN_HALF, 494_032_768),
        (LLAMA_8B, 8_030_261_248),
        (MIXTRAL, 46_702_792_704),
        (QWEN_30B_A3B, 30_532_122_624),
        ({"model_type": "sees", "text_config": QWEN_7B}, 7_615_616_512),
    ],
)
def test_parameters_are_the_published_ones(config: dict[str, Any], parameters: int) -> None:
    assert shape_of(config).parameters == pytest.approx(parameters, rel=1e-3)


def test_parameters_of_an_adapter_are_pefts() -> None:
    shape = shape_of(QWEN_7B)
    assert lora_parameters(shape, 8) == 20_185_088  # as PEFT counts them for all-linear
    assert lora_parameters(shape, 8, ["q_proj", "v_proj"]) == 2_523_136


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model_type": "deepseek_v3", "kv_lora_rank": 512}, "models deepseek_v3 share keys and values"),
        ({"model_type": "mamba", "num_attention_heads": 1}, "of a model mamba lacks hidden_size"),
        ({}, "of a model of no model_type lacks num_attention_heads"),
    ],
)
def test_a_shape_that_is_not_known(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ShapeUnknownError, match=told):
        shape_of(config)


def tune(**fields: Any) -> FineTune:
    return FineTune.model_validate({"data": {"train": [{"uri": "volume:rows"}]}, **fields})


@pytest.mark.capability("memory")
@pytest.mark.parametrize(
    ("rows", "checkpointing", "gib"),
    # bench/gpu_memory.py on an H100, torch 2.11, transformers 5.17, peft 0.21
    [(1, False, 27.65), (2, False, 40.74), (3, False, 53.84), (4, True, 19.06), (8, True, 23.56)],
)
def test_training_takes_what_it_was_measured_to_take(rows: int, checkpointing: bool, gib: float) -> None:
    training = {"perDeviceTrainBatchSize": rows, "gradientCheckpointing": checkpointing}
    estimate = of_training(shape_of(QWEN_7B), tune(training=training))
    assert (estimate.total - OVERHEAD) / GIB == pytest.approx(gib, rel=0.06)


@pytest.mark.parametrize(
    ("fields", "gib"),
    [
        ({"method": "qlora"}, 20.0),  # weights of 5.2 GiB in place of 14.2
        ({"method": "full"}, 128.0),  # 16 bytes of each of 7.6e9 parameters, and the activations
        ({"objective": "dpo"}, 46.5),  # two responses, and their logits
        ({"training": {"maxLength": 1024}}, 22.1),
    ],
)
def test_training_of_other_kinds(fields: dict[str, Any], gib: float) -> None:
    assert of_training(shape_of(QWEN_7B), tune(**fields)).total / GIB == pytest.approx(gib, abs=0.6)


@pytest.mark.capability("memory", "sharding")
@pytest.mark.parametrize(
    ("distributed", "gb"),
    # Of a model of 7.5e9 parameters on 64 accelerators: ZeRO (arXiv:1910.02054), figure 1
    [
        ({"deepspeed": {"zero_optimization": {"stage": 0}}}, 120),
        ({"deepspeed": {"zero_optimization": {"stage": 1}}}, 31.4),
        ({"deepspeed": {"zero_optimization": {"stage": 2}}}, 16.6),
        ({"deepspeed": {}}, 1.9),
        ({"fsdp": {}}, 1.9),
        ({"fsdp": {"fsdp_cpu_offload": True}}, 0),
        ({"deepspeed": {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}}, 15.2),
    ],
)
def test_a_model_that_is_spread(distributed: dict[str, Any], gb: float) -> None:
    shape = shape_of(QWEN_7B)
    spread = tune(method="full", training={"distributed": distributed}, workers={"count": 64})
    parts = of_training(shape, spread).parts
    each = parts["weights, gradients and optimizer"] / shape.parameters
    assert each == pytest.approx(gb / 7.5, rel=0.02)
    # Two layers of 0.23e9 parameters, the matrix to the vocabulary of 0.54e9, and their gradients, of two bytes each
    whole = "layers that are gathered"
    assert parts.get(whole, 0) / 1e9 == pytest.approx(4.0 if gb < 2 else 0, rel=0.02)


def test_an_adapter_over_a_model_that_is_spread() -> None:
    halves = tune(training={"distributed": {"fsdp": {}}}, workers={"count": 2})
    parts = of_training(shape_of(QWEN_7B), halves).parts
    assert parts["weights"] / GIB == pytest.approx(7.1, rel=0.01)
    kept = tune(training={"distributed": {"fsdp": {"reshard_after_forward": False}}}, workers={"count": 2})
    whole = of_training(shape_of(QWEN_7B), kept).parts["layers that are gathered"]
    assert whole / GIB == pytest.approx(14.2, rel=0.01)


@pytest.mark.capability("memory")
@pytest.mark.parametrize(
    ("kwargs", "spread", "parts"),
    [
        ({}, (1, 1), {"weights": 14.2, "KV cache of 32768 tokens": 1.75}),
        ({"max_model_len": 4096}, (1, 1), {"weights": 14.2, "KV cache of 4096 tokens": 0.22}),
        ({"max_model_len": 4096, "kv_cache_dtype": "fp8"}, (1, 1), {"KV cache of 4096 tokens": 0.11}),
        ({}, (2, 1), {"weights": 7.1, "KV cache of 32768 tokens": 0.875}),
        (
            {},
            (8, 1),
            {"weights": 1.8, "KV cache of 32768 tokens": 0.44},
        ),  # four heads are not shared by eight
        ({}, (2, 2), {"weights": 3.55, "KV cache of 32768 tokens": 0.44}),
        ({"quantization": "fp8"}, (1, 1), {"weights": 8.1}),
        ({"tensor_parallel_size": 2}, (1, 1), {"weights": 7.1}),
    ],
)
def test_an_engine(kwargs: dict[str, Any], spread: tuple[int, int], parts: dict[str, float]) -> None:
    found = of_engine(shape_of(QWEN_7B), kwargs, *spread).parts
    assert {name: found[name] / GIB for name in parts} == pytest.approx(parts, rel=0.02)


def test_quantised_weights_are_as_stored() -> None:
    awq = QWEN_7B | {"quantization_config": {"quant_method": "awq", "bits": 4}}
    assert of_engine(shape_of(awq), {}).parts["weights"] / GIB == pytest.approx(5.07, rel=0.02)


@pytest.mark.parametrize(
    ("gib", "share", "fits"), [(22.5, 0.92, True), (22.5, 0.7, False), (15.0, 0.92, False)]
)
def test_an_engine_fits_in_its_share(gib: float, share: float, fits: bool) -> None:
    assert of_engine(shape_of(QWEN_7B), {"gpu_memory_utilization": share}).fits(gib) is fits
