"""The faster forms of layers compute what PEFT's own compute."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from llmworkflow_jobs.gpu_kernels import fuse_adapters


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
