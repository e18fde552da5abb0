"""What a fine-tuning leaves: an adapter, or a whole model with what belongs to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from llmworkflow_jobs import checkpoints, hub, model, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.training_options import artifact_kind

# The losses over the steps, one JSON object a line, in the attempt's folder.
CURVE = "training.jsonl"

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".index.json")


def save(
    trained: PreTrainedModel | PeftModel, weights: dict[str, Any] | None, config: JobConfig, base: str
) -> None:
    """Save the adapter or the whole model below the attempt's folder. `base` is the folder of the base model.

    `weights` are those of a model that is spread over the workers.
    """
    kind = artifact_kind(config.section)
    folder = checkpoints.local_root(config).parent / kind
    shutil.rmtree(folder, ignore_errors=True)  # an earlier run of this attempt may have left files
    if kind == "model":
        _whole(trained, weights, config, base).save_pretrained(folder)
        copy_companions(Path(base), folder)
    else:
        _save_adapter(trained, weights, folder, config)
    storage.upload(str(folder), f"{config.output_uri}/{kind}", config)


def model_config(config: JobConfig, folder: str) -> PretrainedConfig:
    """The configuration of the model in `folder`."""
    return model.settings(config.model, folder)


def _save_adapter(
    trained: PeftModel, weights: dict[str, Any] | None, folder: Path, config: JobConfig
) -> None:
    # The folder that this worker read the base from means nothing to others.
    trained.peft_config["default"].base_model_name_or_path = config.model["source"].removeprefix(hub.SCHEME)
    trained.save_pretrained(folder, save_embedding_layers=False, state_dict=weights)


def _whole(
    trained: PreTrainedModel | PeftModel, weights: dict[str, Any] | None, config: JobConfig, base: str
) -> PreTrainedModel:
    """The trained model in one piece, in the number format of the base model."""
    if weights is None and not isinstance(trained, PeftModel):
        return trained.to(model_config(config, base).dtype or torch.float32)
    whole = AutoModelForCausalLM.from_pretrained(
        base, dtype="auto", trust_remote_code=config.model["trustRemoteCode"]
    )
    if not isinstance(trained, PeftModel):
        whole.load_state_dict(weights)
        return whole
    # The base model as it is: what the adapter was trained over may be quantised.
    with TemporaryDirectory() as adapter:
        _save_adapter(trained, weights, Path(adapter), config)
        return PeftModel.from_pretrained(whole, adapter).merge_and_unload()


def copy_companions(base: Path, folder: Path) -> None:
    """Copy tokenizer, chat template and generation settings as they are: saving them anew may change them."""
    for file in base.iterdir():
        if file.is_file() and not file.name.endswith(_WEIGHTS) and file.name != "config.json":
            shutil.copy(file, folder)
