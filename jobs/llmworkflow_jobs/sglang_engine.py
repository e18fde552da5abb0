"""SGLang's engine in a batch: its arguments and sampling parameters, by its own names.

The image of these jobs lacks it: `ray.pip` or `ray.image` brings it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from llmworkflow_jobs import engine, sampling
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.inference_model import InferenceModel

# What SGLang has without kernels of its own, which its package has for GPUs alone.
_CPU = {
    "device": "cpu",
    "dtype": "float32",
    "attention_backend": "torch_native",
    "sampling_backend": "pytorch",
    "disable_overlap_schedule": True,
    "disable_radix_cache": True,
    "disable_cuda_graph": True,
    "max_total_tokens": 16384,  # SGLang would take nearly all memory of the machine
}
# Part of an accelerator's memory that weights and keys and values of its engines may take.
_GPU_MEMORY = 0.8
# Arguments that other fields of the resource set.
_OWNED = {
    "model_path": "model.source",
    "revision": "model.revision",
    "trust_remote_code": "model.trustRemoteCode",
    "chat_template": "prompt.chatTemplate",
    "lora_paths": "model or adapters",
    "skip_tokenizer_init": "task",
    "is_embedding": "task",
}
# SGLang's names where they are not vLLM's, which the jobs use elsewhere.
_NAMES = {"max_tokens": "max_new_tokens", "min_tokens": "min_new_tokens", "seed": "sampling_seed"}
_FORMS = {"json": "json_schema", "regex": "regex", "grammar": "ebnf"}
# What SamplingParams keeps for itself.
_INTERNAL = frozenset(
    {"stop_strs", "stop_regex_strs", "stop_str_max_len", "stop_regex_max_len", "is_normalized"}
)


def check(config: JobConfig) -> None:
    """Raise ImageLacksPackage if SGLang is not there, OptionInvalid for what it cannot be given, or has no name for."""
    if find_spec("sglang") is None:
        raise lacking("there is no module sglang")
    section = config.section
    tensor, accelerator = section["parallelism"]["tensor"], config.accelerator
    if accelerator and tensor > max(accelerator["count"], 1):
        raise JobError(
            "OptionInvalid",
            f"batch.parallelism.tensor is {tensor}, and an SGLang engine lies on one machine, which has "
            f"{accelerator['count']} accelerators; set ray.accelerator.count to {tensor}",
        )
    if overrides := section["engineKwargs"]:
        from sglang.srt.server_args import ServerArgs  # takes half a minute to import

        known = frozenset(inspect.signature(ServerArgs).parameters)
        engine.check_names(overrides, _OWNED, known, "SGLang")
    if extra := section["sampling"]["extra"]:
        from sglang.srt.sampling.sampling_params import SamplingParams

        own = {_NAMES.get(vllm, vllm): ours for ours, vllm in sampling.NAMES.items()}
        own |= dict.fromkeys(_FORMS.values(), "structured")
        known = frozenset(inspect.signature(SamplingParams).parameters) - _INTERNAL
        sampling.check_names(extra, own, known, "SGLang")


def lacking(problem: str) -> JobError:
    """What to tell where SGLang cannot be imported."""
    return JobError(
        "ImageLacksPackage",
        f"batch.engine is 'sglang': {problem}; add sglang to ray.pip, or name an image in ray.image that has it",
    )


def arguments(config: JobConfig, model: InferenceModel) -> dict[str, Any]:
    """Keyword arguments of the engine for `model`: `engineKwargs`, already checked, go over the others."""
    section = config.section
    return {
        "trust_remote_code": config.model["trustRemoteCode"],
        "skip_tokenizer_init": False,  # without a tokenizer it knows no stop texts and no forms of answers
        **({"revision": model.revision} if model.revision else {}),
        **({"load_format": config.model["loadFormat"]} if config.model["loadFormat"] else {}),
        **(_CPU if config.accelerator is None else {"tp_size": section["parallelism"]["tensor"]}),
        **_share(config.accelerator),
        **_adapters(config, model),
        **section["engineKwargs"],
    }


def sampling_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with vLLM's names in SGLang's words; those that are not set are left out."""
    given = {_NAMES.get(name, name): value for name, value in parameters.items() if value is not None}
    if given.get("top_k") == 0:  # in vLLM's words: all tokens
        given["top_k"] = -1
    form = given.pop(sampling.FORM, {})
    return given | dict(_form(name, value) for name, value in form.items() if value is not None)


def ignored(section: Mapping[str, Any]) -> tuple[str, ...]:
    """Sampling parameters of the resource that SGLang would pass over."""
    return () if section["engineKwargs"].get("enable_deterministic_inference") else ("seed",)


def _form(name: str, value: Any) -> tuple[str, Any]:
    if name == "choice":
        texts = (json.dumps(text, ensure_ascii=False) for text in value)
        return "ebnf", f"root ::= {' | '.join(texts)}"
    return _FORMS[name], value


def _share(accelerator: Mapping[str, Any] | None) -> dict[str, float]:
    """Memory of an engine that shares its accelerator: by itself it would take that of the others too."""
    if accelerator is None or accelerator["count"] >= 1:
        return {}
    return {"mem_fraction_static": round(_GPU_MEMORY * accelerator["count"], 3)}


def _adapters(config: JobConfig, model: InferenceModel) -> dict[str, Any]:
    """Adapters by their folders, as rows name them."""
    folders = {adapter.folder: adapter.folder for adapter in model.loaded}
    if folders and config.accelerator is None:
        raise JobError(
            "OptionInvalid",
            "batch.engine is 'sglang', whose adapters need a GPU; set ray.accelerator, use engine vllm, or tune with "
            "export.merge: true",
        )
    return {"enable_lora": True, "lora_paths": folders} if folders else {}
