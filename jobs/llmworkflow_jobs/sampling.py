"""Sampling parameters: from the resource's names to vLLM's, with the same defaults in batch and in serving."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from llmworkflow_jobs import model
from llmworkflow_jobs.errors import JobError, unknown_name

# The resource's names and vLLM's, which has the same ones in SamplingParams and in requests for a chat completion.
NAMES = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "maxTokens": "max_tokens",
    "minTokens": "min_tokens",
    "seed": "seed",
    "stop": "stop",
    "repetitionPenalty": "repetition_penalty",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
# The forms that answers may be restricted to, in the resource's names and in vLLM's.
FORMS = {"jsonSchema": "json", "regex": "regex", "choice": "choice", "grammar": "grammar"}
FORM = "structured_outputs"
# What vLLM's OpenAI server takes over from generation_config.json (ModelConfig.get_diff_sampling_param); max_new_tokens
# is the other one, and maxTokens is always set.
_FROM_MODEL = ("repetition_penalty", "temperature", "top_k", "top_p", "min_p")
_ONE_ANSWER = "a row has one answer"  # on which the rows, the metrics and the replay stand
_NO_LOGPROBS = "a row keeps the text of its answer, and no probabilities"
_NOT_FOR_EXTRA = {
    **dict.fromkeys(("n", "output_kind", "beam_width"), _ONE_ANSWER),
    **dict.fromkeys(("logprobs", "prompt_logprobs", "flat_logprobs", "logprob_token_ids"), _NO_LOGPROBS),
}
_FIELDS = {**NAMES, "structured": FORM}


def requested(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the resource sets, in vLLM's names: what a client would put into a request."""
    fields = {ours: sampling[name] for name, ours in NAMES.items() if sampling.get(name) not in (None, [])}
    form = {FORM: form_of(sampling["structured"])} if sampling.get("structured") else {}
    return fields | form | sampling["extra"]


def form_of(structured: Mapping[str, Any]) -> dict[str, Any]:
    """The form that answers must have, in vLLM's names; a schema as text, since Arrow would make a type of it."""
    given = {name: value for name, value in structured.items() if value is not None}
    return {
        FORMS[name]: json.dumps(value) if name == "jsonSchema" else value for name, value in given.items()
    }


def effective(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that an engine with these `defaults` samples with when a request has these `fields`."""
    return {**defaults, **fields}


def model_defaults(config: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Defaults for parameters that are not set: those of the model in `folder`, or none where vLLM's own are to hold.

    `config` is the job's model section; generationConfig "model" follows vLLM's OpenAI server.
    """
    if config["generationConfig"] == "vllm":
        return {}
    from transformers import GenerationConfig

    try:
        generation = GenerationConfig.from_pretrained(folder)
    except OSError:  # there is no generation_config.json
        generation = GenerationConfig.from_model_config(model.settings(config, folder))
    given = generation.to_diff_dict()
    return {name: given[name] for name in _FROM_MODEL if given.get(name) is not None}


def is_reproducible(parameters: Mapping[str, Any]) -> bool:
    """Whether another engine gives the same tokens for the same prompt: greedy, or random from a fixed seed."""
    return parameters.get("temperature", 1.0) == 0 or parameters.get("seed") is not None


def check_extra(extra: Mapping[str, Any]) -> None:
    """Raise OptionInvalid if `sampling.extra` has a name that vLLM lacks or that has a field of its own."""
    if not extra:
        return
    from vllm import SamplingParams  # takes ten seconds to import

    own = {vllm: ours for ours, vllm in _FIELDS.items()}
    check_names(extra, own, SamplingParams.__struct_fields__, "vLLM")


def check_names(extra: Iterable[str], own: Mapping[str, str], known: Collection[str], engine: str) -> None:
    """Raise OptionInvalid for a name that is not among the `known` ones, or that the field in `own` sets."""
    for name in extra:
        if name in own:
            raise JobError(
                "OptionInvalid", f"sampling.extra.{name} has a field of its own: set sampling.{own[name]}"
            )
        if name in _NOT_FOR_EXTRA:
            raise JobError("OptionInvalid", f"sampling.extra.{name} cannot be set: {_NOT_FOR_EXTRA[name]}")
        if name not in known:
            raise unknown_name("OptionInvalid", f"sampling parameter of {engine}", name, known)
