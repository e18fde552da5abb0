"""The arguments of vLLM's engine, the same for batch inference and for serving."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError, unknown_name
from llmworkflow_jobs.inference_model import InferenceModel, engine_rank

# On a CPU vLLM puts "uni" back to "mp", which starts one more process that imports everything again. Named by its path
# the executor is left alone; threads are then not bound to cores, which matters for models too large for a CPU anyway.
ONE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_CPU = {
    "dtype": "float32",
    "enforce_eager": True,
    "distributed_executor_backend": ONE_PROCESS,
    "kv_cache_memory_bytes": 1 << 30,  # vLLM would take nearly all memory of the machine
}
# Part of an accelerator's memory that its engines may take.
_GPU_MEMORY = 0.9
# Without it parts of the sampler are compiled with g++ at the first request, which takes half a minute.
CPU_ENVIRONMENT = {"TORCHDYNAMO_DISABLE": "1"}

# Arguments that other fields of the resource set.
_OWNED = {
    "model": "model.source",
    "served_model_name": "modelId",
    "revision": "model.revision",
    "tokenizer_revision": "model.revision",
    "trust_remote_code": "model.trustRemoteCode",
    "generation_config": "model.generationConfig",
    "chat_template": "prompt.chatTemplate",
    "default_chat_template_kwargs": "prompt.chatTemplateKwargs",
}


def arguments(config: JobConfig, model: InferenceModel, options: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of the engine for `model`.

    `options` are the fields of the batch or of the served model: `engineKwargs`, already checked, go over the others.
    """
    return {
        "trust_remote_code": config.model["trustRemoteCode"],
        "generation_config": "vllm" if config.model["generationConfig"] == "vllm" else "auto",
        **_revision(model),
        **({"load_format": config.model["loadFormat"]} if config.model["loadFormat"] else {}),
        **(_CPU if config.accelerator is None else _parallelism(options.get("parallelism", {}))),
        **_share(config.accelerator),
        **options["engineKwargs"],
    }


def lora_arguments(adapters: int, rank: int, empty_slot: bool) -> dict[str, Any]:
    """Keyword arguments of an engine that answers by so many adapters at once, of at most that rank.

    On a CPU vLLM gives requests without an adapter the last slot: `empty_slot` adds one that no adapter takes, so that
    the base model's own name never answers as an adapter.
    """
    return {
        "enable_lora": True,
        "max_loras": adapters + empty_slot,
        "max_lora_rank": engine_rank(rank),
    }


def check_overrides(overrides: Mapping[str, Any], also: frozenset[str] = frozenset()) -> None:
    """Raise OptionInvalid for a key of engineKwargs that vLLM's engine lacks or that another field sets.

    `also` are further names that are known, such as those of the OpenAI server.
    """
    if not overrides:
        return
    from vllm import AsyncEngineArgs  # takes ten seconds to import

    known = {*AsyncEngineArgs.__dataclass_fields__, *also}
    check_names(overrides, _OWNED, known, "vLLM")


def check_names(
    overrides: Iterable[str], owned: Mapping[str, str], known: Collection[str], engine: str
) -> None:
    """Raise OptionInvalid for a name that is not among the `known` ones, or that the field in `owned` sets."""
    for name in overrides:
        if name in owned:
            raise JobError("OptionInvalid", f"engineKwargs.{name} is what {owned[name]} sets; set that field")
        if name not in known:
            what = f"argument of {engine}'s engine (engineKwargs)"
            raise unknown_name("OptionInvalid", what, name, set(known) - set(owned))


def _revision(model: InferenceModel) -> dict[str, Any]:
    if model.revision is None:
        return {}
    return {"revision": model.revision, "tokenizer_revision": model.revision}


def _share(accelerator: Mapping[str, Any] | None) -> dict[str, float]:
    """Memory of an engine that shares its accelerator: by itself it would take that of the others too."""
    if accelerator is None or accelerator["count"] >= 1:
        return {}
    return {"gpu_memory_utilization": round(_GPU_MEMORY * accelerator["count"], 3)}


def _parallelism(parallelism: Mapping[str, int]) -> dict[str, Any]:
    return {
        "tensor_parallel_size": parallelism.get("tensor", 1),
        "pipeline_parallel_size": parallelism.get("pipeline", 1),
    }
