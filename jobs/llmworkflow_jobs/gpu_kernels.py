"""What makes a step of training faster on a GPU, without a change to what is computed: attention, layers, adapters."""

from __future__ import annotations

from importlib.util import find_spec
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv

# The attention below, by the name that transformers is given for it.
VARLEN = "llmworkflow_varlen"
# Models whose attention is a softmax over the past, or a window of it, and nothing more.
_PLAIN_ATTENTION = ("llama", "mistral", "qwen2", "qwen3")
# Flash attention, of which torch has a copy, needs an A10 or newer.
_FLASH_CAPABILITY = (8, 0)


def attention(model_type: str, dtype: torch.dtype) -> str | None:
    """The attention to train with rows laid one behind the other, or None where model, precision or GPU lacks it."""
    if model_type not in _PLAIN_ATTENTION or dtype == torch.float32:
        return None
    if torch.cuda.get_device_capability() < _FLASH_CAPABILITY:
        return None
    AttentionInterface.register(VARLEN, _varlen_attention)
    return VARLEN


def speed_up(model: Any) -> None:
    """Give `model`, with or without adapters, the faster forms of its layers, in place."""
    fuse_adapters(model)
    if find_spec("liger_kernel"):
        from liger_kernel.transformers.monkey_patch import _apply_liger_kernel_to_instance

        base = model if isinstance(model, PreTrainedModel) else model.get_base_model()
        # TRL computes logits and loss in chunks itself.
        _apply_liger_kernel_to_instance(base, fused_linear_cross_entropy=False, cross_entropy=False)


def fuse_adapters(model: nn.Module) -> None:
    """Add up each layer and its adapter in fewer steps, wherever that is plain LoRA without dropout."""
    for module in model.modules():
        if isinstance(module, LoraLinear):
            # Adapters are float32, and autocast takes them to half precision, rather than every activation to float32.
            module.cast_input_dtype_enabled = False
            if _fusible(module):
                module.forward = MethodType(_fused_forward, module)


def _varlen_attention(  # noqa: PLR0913 - as transformers calls it
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor,
    max_length_q: int,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of each row to itself alone; rows end where `cu_seq_lens_q` says, so no mask is needed."""
    from torch.nn.attention.varlen import varlen_attn

    groups = query.shape[1] // key.shape[1]
    heads = (query, repeat_kv(key, groups), repeat_kv(value, groups))
    flat = [states.transpose(1, 2).flatten(0, 1) for states in heads]
    window = (sliding_window - 1 if sliding_window else -1, 0)
    bounds = (cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q)
    output = varlen_attn(*flat, *bounds, scale=scaling, window_size=window)
    return output[None], None


def _fusible(module: LoraLinear) -> bool:
    """Whether it is plain LoRA with one adapter on plain weights."""
    return (
        type(module.base_layer) is nn.Linear
        and len(module.active_adapters) == 1
        and not module.lora_variant
        and isinstance(module.lora_dropout[module.active_adapters[0]], nn.Identity)
    )


def _fused_forward(self: LoraLinear, x: torch.Tensor) -> torch.Tensor:
    if self.disable_adapters or self.merged:
        return LoraLinear.forward(self, x)
    name = self.active_adapters[0]
    base = self.base_layer
    down, up = self.lora_A[name].weight, self.lora_B[name].weight
    output: torch.Tensor = _FusedLora.apply(x, base.weight, base.bias, down, up, self.scaling[name])
    return output


class _FusedLora(torch.autograd.Function):
    """A linear layer and its adapter, added up within the matrix products.

    PEFT's own form writes the adapter's share out, scales it and adds it, which moves each activation three times more.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        down, up = down.to(weight.dtype), up.to(weight.dtype)
        low = functional.linear(rows, down).mul_(scaling)
        output = functional.linear(rows, weight, bias).addmm_(low, up.T)
        ctx.save_for_backward(rows, low, weight, down, up)
        ctx.scaling = scaling
        return output.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, low, weight, down, up = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        grad_low = (flat @ up).mul_(ctx.scaling)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (flat @ weight).addmm_(grad_low, down).view(*grad.shape[:-1], -1)
        return grad_x, None, None, grad_low.T @ rows, flat.T @ low, None
