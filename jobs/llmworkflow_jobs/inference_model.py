"""Which model a batch or an endpoint runs: the base model, an adapter on it, or a model that an earlier stage made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmworkflow_jobs import storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.model import BaseModel

# The ranks that vLLM takes as max_lora_rank.
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Folders inside an artifact.
ADAPTER = "adapter"
MODEL = "model"

_HUB = "hf://"


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in a local folder."""

    folder: str
    rank: int


@dataclass(frozen=True)
class InferenceModel:
    """What an engine loads: `source` is a local folder, or the name on the Hugging Face hub with a `revision`.

    `folder` is where its configuration and tokenizer are on this machine.
    """

    source: str
    folder: str
    revision: str | None = None
    adapter: Adapter | None = None


def choose(config: JobConfig, base: BaseModel, reference: Mapping[str, Any] | None) -> InferenceModel:
    """The model that `reference`, a section's `model`, stands for: what its stage made, or the base model for None.

    Raises ArtifactMissing, ModelInvalid, InputChanged for an adapter of another base model, or OptionInvalid for an
    adapter that vLLM cannot run.
    """
    if reference is None:
        return on_base(config, base.folder)
    artifact = input_artifact(config, reference["stage"])
    if artifact["type"] == "adapter":
        _check_base(storage.read_whole(artifact, config), base, artifact["uri"])
        return on_base(config, base.folder, load_adapter(artifact["uri"], config))
    return full(config, reference["stage"])


def full(config: JobConfig, stage: str) -> InferenceModel:
    """The full model that an earlier stage made. Raises ArtifactMissing or ModelInvalid."""
    artifact = input_artifact(config, stage)
    storage.read_whole(artifact, config)
    folder = storage.local_path(f"{artifact['uri']}/{MODEL}", config)
    if not (Path(folder) / "config.json").is_file():
        raise JobError(
            "ModelInvalid", f"{artifact['uri']}/{MODEL} has no config.json; run stage {stage} again"
        )
    return InferenceModel(folder, folder)


def input_artifact(config: JobConfig, stage: str) -> Mapping[str, str]:
    """The artifact {uri, digest, type} of an earlier stage, which must be one that a model can be loaded from."""
    artifact = config.inputs.get(stage, {}).get("artifact")
    if artifact is None:
        raise JobError("ArtifactMissing", f"stage {stage} has left no artifact; it has to run again")
    if artifact["type"] not in ("adapter", "model"):
        raise JobError(
            "OptionInvalid", f"model.stage {stage} made {artifact['type']}; name a stage that made a model"
        )
    return artifact


def load_adapter(uri: str, config: JobConfig) -> Adapter:
    """The adapter of the artifact at `uri`, brought to local disk.

    Raises OptionInvalid for one that vLLM cannot run: DoRA, whole modules saved beside it, a rank above 512.
    """
    folder = storage.local_path(f"{uri}/{ADAPTER}", config)
    try:
        settings = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(
            "ModelInvalid", f"{uri}/{ADAPTER}/adapter_config.json cannot be read: {error}"
        ) from error
    if settings.get("use_dora"):
        raise JobError(
            "OptionInvalid", f"{uri} is a DoRA adapter, which vLLM cannot run; tune with use_dora: false"
        )
    if settings.get("modules_to_save"):
        raise JobError(
            "OptionInvalid",
            f"{uri} saves whole modules ({', '.join(settings['modules_to_save'])}), which vLLM cannot load with an "
            "adapter; leave modules_to_save empty",
        )
    return Adapter(folder, settings["r"])


def engine_rank(rank: int) -> int:
    """The smallest max_lora_rank of vLLM that holds adapters of `rank`."""
    for allowed in LORA_RANKS:
        if rank <= allowed:
            return allowed
    raise JobError(
        "OptionInvalid",
        f"the adapter's rank is {rank}, vLLM takes at most {LORA_RANKS[-1]}; tune a smaller one",
    )


def on_base(config: JobConfig, folder: str, adapter: Adapter | None = None) -> InferenceModel:
    """The base model, whose files are in `folder`, with or without an adapter.

    One of the hub is loaded by name and commit, as engines may run on machines that lack the folder.
    """
    source = config.model["source"]
    if source.startswith(_HUB):
        return InferenceModel(source.removeprefix(_HUB), folder, Path(folder).name, adapter)
    return InferenceModel(folder, folder, adapter=adapter)


def _check_base(manifest: Mapping[str, Any], base: BaseModel, uri: str) -> None:
    if manifest["base"]["digest"] != base.digest:
        raise JobError(
            "InputChanged",
            f"{uri} was tuned on {manifest['base']['source']} with digest {manifest['base']['digest']}, while "
            f"model.source {base.source} has {base.digest}; tune again, or put the model back",
        )
