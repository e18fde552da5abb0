"""A model that is spread over the workers while it trains: by FSDP2 or DeepSpeed, through Hugging Face's Accelerate."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError, unknown_name

# What transformers reads of an fsdp_config for FSDP2; it passes over what it does not know.
_FSDP = (
    "version",
    "reshard_after_forward",
    "cpu_offload",
    "activation_checkpointing",
    "cpu_ram_efficient_loading",
    "state_dict_type",
    "auto_wrap_policy",
    "transformer_layer_cls_to_wrap",
    "min_num_params",
)
# The rest is transformers' to fill in, from the other fields of the training.
_DEEPSPEED = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto"},
    "zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": True},
}
_PATH = "training.distributed"


def check(config: JobConfig) -> None:
    """Refuse what cannot be spread, and options that nothing would read."""
    section = config.section
    distributed = section["training"]["distributed"]
    if not distributed:
        return
    if section["method"] == "qlora":
        raise JobError(
            "OptionInvalid",
            f"{_PATH} spreads weights that method qlora has quantised, which cannot be; use lora, or leave it out",
        )
    if distributed["fsdp"] is None:
        _check_deepspeed(config)
    else:
        _check_fsdp(_plain(distributed["fsdp"]), section)


def arguments(distributed: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of transformers' trainer; all are there, so that training.extra cannot set them."""
    fsdp, deepspeed = (distributed or {}).get("fsdp"), (distributed or {}).get("deepspeed")
    return {
        "fsdp": None if fsdp is None else True,
        "fsdp_config": None if fsdp is None else _plain(fsdp),
        "deepspeed": None if deepspeed is None else _over(_DEEPSPEED, deepspeed),
    }


def prepare(settings: Any, on_cpus: bool) -> None:
    """Make what Accelerate does with FSDP the same as without, in transformers' `settings` of the trainer."""
    if not settings.fsdp:
        return
    if settings.bf16 or settings.fp16:
        import torch
        from torch.distributed.fsdp import MixedPrecisionPolicy

        # It would round the loss and the sums of gradients too.
        half = torch.bfloat16 if settings.bf16 else torch.float16
        policy = MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32)
        settings.fsdp_plugin_args["mixed_precision_policy"] = policy
    if on_cpus:
        from accelerate import DistributedType, PartialState

        # PyTorch spreads a model over CPUs as well, and Accelerate leaves it whole there without a word.
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU  # noqa: SLF001


def gathered(trainer: Any) -> dict[str, Any] | None:
    """All weights of a model that is spread, in the first worker; None where each worker has them anyway.

    To be called in every worker. Afterwards models are loaded whole again.
    """
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        return None
    weights: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_deepspeed_enabled:
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
    return weights


def _check_fsdp(options: Mapping[str, Any], section: Mapping[str, Any]) -> None:
    workers = section["workers"]
    if (workers["min"] or workers["count"]) == 1:
        field = "count" if workers["min"] is None else "min"
        raise JobError(
            "OptionInvalid",
            f"{_PATH}.fsdp spreads the model over the workers, and workers.{field} is 1; make it 2 or more",
        )
    for name in options:
        if name not in _FSDP:
            raise unknown_name("OptionInvalid", f"option of FSDP2, for {_PATH}.fsdp", name, _FSDP)
    if options.get("version", 2) != 2:
        raise JobError(
            "OptionInvalid", f"{_PATH}.fsdp.version {options['version']} is no longer there; use 2"
        )
    if options.get("activation_checkpointing"):
        _check_recomputed(section)


def _check_recomputed(section: Mapping[str, Any]) -> None:
    if section["training"]["gradientCheckpointing"]:
        raise JobError(
            "OptionInvalid",
            f"training.gradientCheckpointing and {_PATH}.fsdp.activation_checkpointing are the same; leave one out",
        )
    if section["method"] != "full":
        raise JobError(
            "OptionInvalid",
            f"{_PATH}.fsdp.activation_checkpointing hides adapters from what saves them; "
            "use training.gradientCheckpointing",
        )


def _check_deepspeed(config: JobConfig) -> None:
    if config.accelerator is None:
        raise JobError("OptionInvalid", f"{_PATH}.deepspeed needs a GPU; set ray.accelerator, or use fsdp")
    if config.section["workers"]["min"] is not None:
        raise JobError(
            "OptionInvalid",
            f"{_PATH}.deepspeed has checkpoints for the number of workers that wrote them; "
            "set workers.count in place of min and max, or use fsdp",
        )
    if not find_spec("deepspeed"):
        raise JobError(
            "ImageLacksPackage",
            f"{_PATH}.deepspeed needs the package deepspeed, which is not installed; add it to ray.pip, or use fsdp",
        )


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """FSDP's options by the names without the prefix that Accelerate's own files have."""
    return {name.removeprefix("fsdp_"): value for name, value in options.items()}


def _over(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`own` over the defaults, section by section."""
    sections = {
        name: _over(defaults[name], value) if isinstance(value, dict) and name in defaults else value
        for name, value in own.items()
    }
    return {**defaults, **sections}
