"""How much memory a stage takes of each accelerator: an estimate from the model's config.json and the spec.

Weights: parameters times the width of their numbers. The parameters are those of the linear layers of a decoder with
a gated MLP, and of the embeddings; norms and biases, a thousandth of them, are left out.

An engine (vLLM) holds its share of the weights, keys and values of what it answers, and what a step computes:

    weights / (tensor * pipeline)
    + tokens * 2 * layers * kv_heads * head_size * width / (tensor * pipeline)      the KV cache, of vLLM's own page
      size (vllm/v1/kv_cache_interface.py), for at least one request of max_model_len: with less it does not start
    + step_tokens * (2 * intermediate / tensor + 4 * hidden) * width + sequences * vocabulary * 4       activations

within gpu_memory_utilization of the accelerator.

A worker that trains holds all of the model, and of each parameter that is trained a float32 value,
its gradient and two moments of AdamW, 16 bytes (ZeRO, arXiv:1910.02054, section 3.1); NF4 weights of QLoRA take 4.127
bits (arXiv:2305.14314, section 3). What the backward pass needs of each token and layer is counted as in
arXiv:2205.05198, section 4.1, for attention that does not keep its scores, with keys and values repeated for all heads:

    width * (4 * hidden + 4 * heads * head_size + 4 * intermediate) + 8 * hidden

the last part for norms in float32; and as much again for the gradients within one layer. With gradient checkpointing a
layer keeps its input alone. The logits of preference tuning are kept whole, in float32, with their gradient; else the
loss is computed in chunks. `bench/gpu_memory.py` measures such steps: the estimate is within 6 % of it.

Workers among which the model is spread (training.distributed) hold their share of it each: of parameters, gradients and
what the optimizer keeps, width + width + (16 - 2 * width) bytes of each that is trained (ZeRO, section 5), by what of
these is spread. In addition they have, whole, two layers, the one that is computed and the next, and the matrix to the
vocabulary; where all is trained the gradients of these too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmworkflow.api.spec.fine_tune import FineTune
from llmworkflow.core.sharding import Shares, shares_of

GIB = 1 << 30
# The CUDA context, libraries' workspaces, CUDA graphs, and what lies between allocations.
OVERHEAD = 1.0 * GIB

# What the accelerators of Ray's names have, as nvidia-smi says it: less than the number that they are sold by.
MEMORY_GIB: Mapping[str, float] = {
    "T4": 15.0,
    "V100": 16.0,
    "A10G": 22.5,
    "L4": 22.5,
    "L40S": 45.0,
    "A100": 40.0,  # Ray's name of both sizes: the smaller one is taken
    "A100-40G": 40.0,
    "A100-80G": 80.0,
    "H20": 95.6,
    "H100": 79.6,
    "H200": 140.4,
    "B200": 179.0,
}

_WIDTHS = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
_PRECISIONS = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}
_NF4 = 4.127 / 8
_TRAINED = 16.0  # bytes of a parameter that is trained
_UTILISATION = 0.92  # vLLM's default
_STEP_TOKENS, _SEQUENCES = 8192, 256  # vLLM's defaults on most accelerators
_EXPERTS_PASSED = 8  # by each token; most models have it at this or below
_QUANTISED = {"awq": 0.5, "gptq": 0.5, "fp8": 1.0, "compressed-tensors": 1.0, "bitsandbytes": 0.5}


class ShapeUnknownError(ValueError):
    """A configuration whose layers this estimate does not know."""


@dataclass(frozen=True)
class Shape:
    """What of a model decides how large it is."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int  # of one expert
    vocabulary: int
    tied: bool
    experts: int = 1
    shared: int = 0  # width of what all tokens pass beside the experts
    longest: int = 4096
    width: float = 2.0  # bytes of a number
    linear_width: float = 2.0  # the same in the linear layers, which may be quantised

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The linear layers that every token passes, outside of experts: inputs and outputs by name."""
        query, key, mlp = self.heads * self.head_size, self.kv_heads * self.head_size, self._dense
        attention = {
            "q_proj": (self.hidden, query),
            "k_proj": (self.hidden, key),
            "v_proj": (self.hidden, key),
            "o_proj": (query, self.hidden),
        }
        dense = {
            "gate_proj": (self.hidden, mlp),
            "up_proj": (self.hidden, mlp),
            "down_proj": (mlp, self.hidden),
        }
        return attention | (dense if mlp else {})

    @property
    def _dense(self) -> int:
        return self.shared if self.experts > 1 else self.intermediate

    @property
    def linear_parameters(self) -> int:
        """Parameters of the layers, which quantisation makes smaller."""
        experts = self.experts * (3 * self.intermediate + 1) * self.hidden if self.experts > 1 else 0
        return self.layers * (sum(into * out for into, out in self.linears.values()) + experts)

    @property
    def embedding_parameters(self) -> int:
        """Parameters from and to the vocabulary."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All of them, but for norms and biases."""
        return self.linear_parameters + self.embedding_parameters

    def weights(self, linear_width: float | None = None, width: float | None = None) -> float:
        """Bytes of the weights, as they are stored unless widths are given."""
        linear = self.linear_width if linear_width is None else linear_width
        return self.linear_parameters * linear + self.embedding_parameters * (width or self.width)

    def kv_bytes(self, width: float) -> float:
        """Bytes of the keys and values of a token."""
        return 2 * self.layers * self.kv_heads * self.head_size * width


@dataclass(frozen=True)
class Estimate:
    """What one accelerator has to hold, in bytes, by what takes them; and how much of it may be taken."""

    parts: Mapping[str, float]
    share: float = 1.0
    longest: int = 0  # tokens of the longest request or sequence

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.parts.values())

    def fits(self, gib: float) -> bool:
        """Whether an accelerator of so much memory holds it."""
        return self.total <= gib * GIB * self.share


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that a model's config.json describes; of one that also sees or hears, that of its text.

    Raises:
        ShapeUnknownError: it is no decoder of the usual kind.
    """
    text: Mapping[str, Any] = config.get("text_config") or config
    kind = str(config.get("model_type", "of no model_type"))
    if "kv_lora_rank" in text:
        raise ShapeUnknownError(f"models {kind} share keys and values between heads in their own way")
    try:
        heads, hidden = int(text["num_attention_heads"]), int(text["hidden_size"])
        width = _WIDTHS.get(str(text.get("torch_dtype") or text.get("dtype")), 2.0)
        return Shape(
            layers=int(text["num_hidden_layers"]),
            hidden=hidden,
            heads=heads,
            kv_heads=int(text.get("num_key_value_heads") or heads),
            head_size=int(text.get("head_dim") or hidden // heads),
            vocabulary=int(text["vocab_size"]),
            tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
            longest=int(text.get("max_position_embeddings") or 4096),
            width=width,
            linear_width=_linear_width(config, width),
            **_experts(text),
        )
    except KeyError as error:
        raise ShapeUnknownError(f"the config.json of a model {kind} lacks {error.args[0]}") from error


def _experts(text: Mapping[str, Any]) -> dict[str, int]:
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((int(text[name]) for name in names if text.get(name)), 1)
    if experts == 1:
        return {"intermediate": int(text["intermediate_size"])}
    own = int(text.get("moe_intermediate_size") or text["intermediate_size"])
    shared = int(text.get("shared_expert_intermediate_size") or own * (text.get("n_shared_experts") or 0))
    return {"experts": experts, "intermediate": own, "shared": shared}


def _linear_width(config: Mapping[str, Any], width: float) -> float:
    """Bytes of a number in the linear layers of a model that may be quantised."""
    quantised: Mapping[str, Any] = config.get("quantization_config") or {}
    if bits := quantised.get("bits"):
        return float(bits) / 8
    return 1.0 if quantised.get("load_in_8bit") else _QUANTISED.get(str(quantised.get("quant_method")), width)


def of_engine(
    shape: Shape,
    kwargs: Mapping[str, Any],
    tensor: int = 1,
    pipeline: int = 1,
    adapters: tuple[int, int] = (0, 0),
) -> Estimate:
    """What each accelerator of a vLLM engine holds; `kwargs` are its own options, `adapters` number and rank."""
    tensor = int(kwargs.get("tensor_parallel_size", tensor))
    pipeline = int(kwargs.get("pipeline_parallel_size", pipeline))
    # float32 is taken down to half precision.
    width = _WIDTHS.get(str(kwargs.get("dtype")), min(shape.width, 2.0))
    longest = int(kwargs.get("max_model_len") or shape.longest)
    step = max(int(kwargs.get("max_num_batched_tokens") or _STEP_TOKENS), 1)
    sequences = int(kwargs.get("max_num_seqs") or _SEQUENCES)
    kv_width = 1.0 if str(kwargs.get("kv_cache_dtype", "auto")).startswith("fp8") else width
    count, rank = adapters
    linear = _QUANTISED.get(str(kwargs.get("quantization")), min(shape.linear_width, width))
    computed = step * (2 * shape.intermediate / tensor + 4 * shape.hidden) * width
    parts = {
        "weights": shape.weights(linear, width) / (tensor * pipeline),
        "adapters": count * lora_parameters(shape, rank) * width / (tensor * pipeline),
        f"KV cache of {longest} tokens": longest
        * shape.kv_bytes(kv_width)
        / (min(tensor, shape.kv_heads) * pipeline),
        "activations": computed + sequences * shape.vocabulary * 4,
        "CUDA": OVERHEAD,
    }
    share = float(kwargs.get("gpu_memory_utilization", _UTILISATION))
    return Estimate({name: size for name, size in parts.items() if size}, share, longest)


def of_training(shape: Shape, tune: FineTune) -> Estimate:
    """What the accelerator of each worker holds."""
    training, width = tune.training, _PRECISIONS[tune.training.precision]
    preferences = tune.objective in ("dpo", "kto")
    tokens = training.per_device_train_batch_size * training.max_length * (2 if preferences else 1)
    logits = tokens * shape.vocabulary * 8 if preferences else 0
    parts = {
        **_weights(shape, tune, width),
        "activations": tokens * _kept(shape, width, training.gradient_checkpointing) + logits,
        "CUDA": OVERHEAD,
    }
    return Estimate(parts, longest=training.max_length)


def _weights(shape: Shape, tune: FineTune, width: float) -> dict[str, float]:
    shares = shares_of(tune)
    held = width * (shares.parameters + shares.gradients)
    trained = held + (_TRAINED - 2 * width) * shares.optimizer  # bytes of each
    gathered = _gathered(shape, shares) * width
    if tune.method == "full":
        reference = shape.parameters * 4 * shares.parameters if tune.objective == "dpo" else 0
        own = {"weights, gradients and optimizer": shape.parameters * trained + reference}
        return own | ({"layers that are gathered": 2 * gathered} if gathered else {})
    adapter = lora_parameters(shape, tune.lora.rank, tune.lora.target_modules)
    frozen = shape.weights(_NF4 if tune.method == "qlora" else width, width)
    own = {"weights": frozen * shares.parameters, "adapter, gradients and optimizer": adapter * trained}
    return own | ({"layers that are gathered": gathered} if gathered else {})


def _gathered(shape: Shape, shares: Shares) -> float:
    """Parameters that a worker has whole for a while, beside its share."""
    if shares.parameters == 1:
        return 0
    if shares.gathers_all:
        return shape.parameters
    return 2 * shape.linear_parameters / shape.layers + shape.vocabulary * shape.hidden


def _kept(shape: Shape, width: float, checkpointing: bool) -> float:
    """Bytes of a token that the backward pass needs."""
    passed = shape.intermediate if shape.experts == 1 else _EXPERTS_PASSED * shape.intermediate + shape.shared
    numbers = 4 * shape.hidden + 4 * shape.heads * shape.head_size + 4 * passed
    layer = width * numbers + 8 * shape.hidden
    return shape.layers * width * shape.hidden + 2 * layer if checkpointing else (shape.layers + 1) * layer


def lora_parameters(shape: Shape, rank: int, targets: str | list[str] = "all") -> int:
    """Parameters of an adapter; experts have none."""
    layers = [sides for name, sides in shape.linears.items() if targets == "all" or name in targets]
    return shape.layers * rank * sum(into + out for into, out in layers)
