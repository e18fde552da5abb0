"""The faster forms of layers compute what PEFT's own compute."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM

from llmworkflow_jobs.gpu_kernels import attention, fuse_adapters


def adapted(**changes: Any) -> nn.Module:
    """Two layers with adapters that are not at their start, where they would add nothing."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 6, bias=False))
    model = get_peft_model(layers, LoraConfig(r=4, lora_alpha=8, target_modules=["0", "2"], **changes))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    return model


def gradients(model: nn.Module, rows: torch.Tensor) -> list[torch.Tensor]:
    """Output, gradient of the input and gradients of the adapters."""
    rows = rows.clone().requires_grad_()
    output = model(rows)
    output.square().sum().backward()
    trained = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    return [output.detach(), rows.grad, *trained]


def forwards(model: nn.Module) -> list[Callable[..., Any]]:
    return [module.forward for name, module in model.named_modules() if name.endswith((".0", ".2"))]


def test_fused_adapters_agree_with_those_of_peft() -> None:
    plain = adapted()
    fused = copy.deepcopy(plain)
    fuse_adapters(fused)
    rows = torch.randn(3, 5, 12)
    expected, found = gradients(plain, rows), gradients(fused, rows)
    assert len(found) == len(expected) == 2 + 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_adapters_can_be_switched_off_after_training() -> None:
    model = adapted()
    fuse_adapters(model)
    rows = torch.randn(2, 12)
    with model.disable_adapter():
        base = model(rows)
    torch.testing.assert_close(base, model.unload()(rows))


@pytest.mark.parametrize("change", [{"lora_dropout": 0.1}, {"use_dora": True}])
def test_other_adapters_stay_as_they_are(change: dict[str, Any]) -> None:
    model = adapted(**change)
    before = [forward.__func__ for forward in forwards(model)]
    fuse_adapters(model)
    assert [forward.__func__ for forward in forwards(model)] == before


def fake_varlen_attn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bounds: torch.Tensor,
    *_: Any,
    scale: float,
    window_size: tuple[int, int],
) -> torch.Tensor:
    """What torch's kernel computes, which runs on a GPU alone: each row attends to its own past."""
    assert window_size == (-1, 0)  # all of the past, none of the future
    rows = []
    for begin, end in itertools.pairwise(bounds.tolist()):
        heads = [part[begin:end].transpose(0, 1) for part in (query, key, value)]
        rows.append(
            functional.scaled_dot_product_attention(*heads, is_causal=True, scale=scale).transpose(0, 1)
        )
    return torch.cat(rows)


def test_rows_laid_one_behind_the_other_do_not_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", fake_varlen_attn)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    name = attention("qwen2", torch.bfloat16)
    shape = Qwen2Config(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    torch.manual_seed(0)
    plain = Qwen2ForCausalLM(shape).eval()
    flat = copy.deepcopy(plain)
    flat.set_attn_implementation(name)
    rows = [torch.randint(50, (length,)) for length in (5, 1, 9)]
    bounds = torch.tensor([0, 5, 6, 15], dtype=torch.int32)
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    with torch.no_grad():
        together = flat(
            torch.cat(rows)[None], position_ids=positions[None], cu_seq_lens_q=bounds, max_length_q=9
        )
        apart = torch.cat([plain(row[None]).logits[0] for row in rows])
    torch.testing.assert_close(together.logits[0], apart)


@pytest.mark.parametrize(
    ("model_type", "dtype", "capability"),
    [
        ("qwen2", torch.float32, (9, 0)),
        ("qwen2", torch.float16, (7, 5)),
        ("gemma2", torch.bfloat16, (9, 0)),  # caps its scores
    ],
)
def test_no_flash_attention_for_what_lacks_it(
    monkeypatch: pytest.MonkeyPatch, model_type: str, dtype: torch.dtype, capability: tuple[int, int]
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    assert attention(model_type, dtype) is None
