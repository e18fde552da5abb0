"""Which model a batch or an endpoint runs: the base model, an adapter on it, or a model that an earlier stage made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyarrow import fs

from llmworkflow_jobs import hub, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.model import BaseModel

# The ranks that vLLM takes as max_lora_rank.
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Folders inside an artifact.
ADAPTER = "adapter"
MODEL = "model"

# By this file PEFT, and everyone else, knows a folder for an adapter.
_SETTINGS = "adapter_config.json"


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter in a local folder, and where it came from."""

    folder: str
    rank: int
    address: str


@dataclass(frozen=True)
class InferenceModel:
    """What an engine loads: `source` is a local folder, or the name on the Hugging Face hub with a `revision`.

    `folder` is where its configuration and tokenizer are on this machine, `address` where they came from if they are
    not the hub's. Either all rows are answered by `adapter`, or
    each by the one of `adapters` that it names.
    """

    source: str
    folder: str
    revision: str | None = None
    adapter: Adapter | None = None
    adapters: Mapping[str, Adapter] = field(default_factory=dict)
    address: str | None = None

    @property
    def addresses(self) -> list[str]:
        """Of all that was copied to this machine from a bucket."""
        found = [self.address, *(adapter.address for adapter in self.loaded)]
        return [address for address in found if address and storage.is_remote(address)]

    @property
    def loaded(self) -> list[Adapter]:
        """All adapters that the engine has to hold."""
        return [self.adapter] if self.adapter else list(self.adapters.values())

    def answering(self, name: str | None) -> str:
        """What answers a row that names an adapter, or none: the folder of the adapter, or the model itself.

        A base model that is asked what its adapters were has none of them.
        """
        adapter = self.adapters.get(name) if name else self.adapter
        return adapter.folder if adapter else self.source


def choose(config: JobConfig, base: BaseModel) -> InferenceModel:
    """The model of a batch: what the stage of `model` made, or the base model, with `adapters` on it or none.

    Raises ArtifactMissing, ModelInvalid, InputChanged for an adapter of another base model, or OptionInvalid for an
    adapter that vLLM cannot run.
    """
    reference, adapters = config.section["model"], config.section["adapters"]
    if adapters:
        return replace(on_base(config, base.folder), adapters=_named_adapters(config, base, adapters))
    if reference is None:
        return on_base(config, base.folder)
    artifact = input_artifact(config, reference["stage"])
    if artifact["type"] == "adapter":
        return on_base(config, base.folder, _adapter_of(artifact, config, base))
    return full(config, reference["stage"])


def _named_adapters(
    config: JobConfig, base: BaseModel, adapters: Sequence[Mapping[str, Any]]
) -> dict[str, Adapter]:
    """The adapters by name; one that no stage made is taken as it is."""
    return {
        adapter["name"]: _adapter_of(input_artifact(config, adapter["stage"]), config, base)
        if adapter["stage"]
        else load_adapter(adapter["uri"], config)
        for adapter in adapters
    }


def _adapter_of(artifact: Mapping[str, str], config: JobConfig, base: BaseModel) -> Adapter:
    if artifact["type"] != "adapter":
        raise JobError(
            "OptionInvalid",
            f"{artifact['uri']} is a whole model, no adapter; name it in model, not in adapters",
        )
    _check_base(storage.read_whole(artifact, config), base, artifact["uri"])
    return load_adapter(artifact["uri"], config)


def starting_from(config: JobConfig) -> JobConfig:
    """The configuration of a fine-tuning whose base is what the stage of `model` made, if it names one.

    Raises ArtifactMissing, or OptionInvalid for an adapter.
    """
    reference = config.section["model"]
    if reference is None:
        return config
    artifact = input_artifact(config, reference["stage"])
    if artifact["type"] != MODEL:
        raise JobError(
            "OptionInvalid",
            f"{artifact['uri']} is an adapter, no whole model; set export.merge in stage {reference['stage']}",
        )
    storage.read_whole(artifact, config)
    return config.based_on(f"{artifact['uri']}/{MODEL}")


def full(config: JobConfig, stage: str) -> InferenceModel:
    """The full model that an earlier stage made. Raises ArtifactMissing or ModelInvalid."""
    artifact = input_artifact(config, stage)
    storage.read_whole(artifact, config)
    address = f"{artifact['uri']}/{MODEL}"
    folder = storage.local_path(address, config)
    if not (Path(folder) / "config.json").is_file():
        raise JobError("ModelInvalid", f"{address} has no config.json; run stage {stage} again")
    return InferenceModel(folder, folder, address=address)


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
    """The adapter at `uri`, brought to local disk: of an artifact, or a folder that PEFT wrote.

    Raises OptionInvalid for one that vLLM cannot run: DoRA, whole modules saved beside it, a rank above 512.
    """
    address = _adapter_address(uri, config)
    folder = storage.local_path(address, config)
    try:
        settings = json.loads((Path(folder) / _SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError("ModelInvalid", f"the {_SETTINGS} of adapter {uri} cannot be read: {error}") from error
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
    return Adapter(folder, settings["r"], address)


def _adapter_address(uri: str, config: JobConfig) -> str:
    filesystem, path = storage.open_uri(f"{uri}/{_SETTINGS}", config)
    plain = filesystem.get_file_info(path).type == fs.FileType.File
    return uri if plain else f"{uri}/{ADAPTER}"


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
    if source.startswith(hub.SCHEME):
        return InferenceModel(source.removeprefix(hub.SCHEME), folder, Path(folder).name, adapter)
    return InferenceModel(folder, folder, adapter=adapter, address=source)


def _check_base(manifest: Mapping[str, Any], base: BaseModel, uri: str) -> None:
    if manifest["base"]["digest"] != base.digest:
        raise JobError(
            "InputChanged",
            f"{uri} was tuned on {manifest['base']['source']} with digest {manifest['base']['digest']}, while "
            f"model.source {base.source} has {base.digest}; tune again, or put the model back",
        )
