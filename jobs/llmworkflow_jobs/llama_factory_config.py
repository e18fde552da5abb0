"""LLaMA-Factory's arguments: the user's own YAML, with model, data and output as the workflow has them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmworkflow_jobs import hub, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.data import Row
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import messages_of, response_of
from llmworkflow_jobs.training_data import TrainingRows

# How it would spread over Ray by itself; here the stage's workers and accelerator say where it runs.
_SPREADING = (
    "ray_run_name",
    "ray_storage_path",
    "ray_storage_filesystem",
    "ray_num_workers",
    "ray_init_kwargs",
    "resources_per_worker",
    "placement_strategy",
)
# What it reads beside the base model; reward_model may be a server as well.
_MODELS = ("adapter_name_or_path", "ref_model", "ref_model_adapters", "reward_model_adapters")
# The shape of the rows that are written for it.
_MESSAGES = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}

logger = logging.getLogger(__name__)


def check(config: JobConfig) -> None:
    """Raise OptionInvalid where the YAML contradicts the resource, or asks for what this engine does not do here."""
    own, section = config.section["config"], config.section
    source = config.model["source"].removeprefix(hub.SCHEME)
    named = own.get("model_name_or_path", source)
    if named != source:
        raise JobError(
            "OptionInvalid",
            f"fineTune.config.model_name_or_path is {named}, while model.source is {config.model['source']}; "
            "make them the same, or leave the first out",
        )
    if section["data"] is None and not own.get("dataset"):
        raise JobError("OptionInvalid", "fineTune.config names no dataset; name one, or set fineTune.data")
    if section["data"] and own.get("stage", "sft") != "sft":
        raise JobError(
            "OptionInvalid",
            f"fineTune.data gives rows for config.stage sft, which is {own['stage']}; "
            "name the data in config (dataset_dir, dataset) instead",
        )


def arguments(config: JobConfig, rows: TrainingRows | None, model: str, output: Path) -> dict[str, Any]:
    """What it is called with; `model` is the folder of the base model, `rows` are written beside `output`."""
    given = config.section["config"]
    for name in _SPREADING:
        if name in given:
            logger.info("config.%s is left out: the stage's workers and accelerator say where it runs", name)
    kept = {name: value for name, value in given.items() if name not in _SPREADING}
    own = {
        "model_name_or_path": model,
        "trust_remote_code": config.model["trustRemoteCode"],
        "do_train": True,
        "output_dir": str(output),
        "overwrite_output_dir": True,
        "report_to": given.get("report_to", "none"),
    }
    device = {} if config.accelerator else {"use_cpu": True}
    folders = {name: storage.local_path(uri, config) for name, uri in addresses(config).items()}
    data = {} if rows is None else _written(rows, output, config)
    return kept | own | device | folders | data


def addresses(config: JobConfig) -> dict[str, str]:
    """The folders that it reads by address, such as volume:games, by the names of their arguments.

    A path that workers have is no address, nor is the server that gives rewards.
    """
    own, section = config.section["config"], config.section
    names = [*_MODELS] if section["data"] else [*_MODELS, "dataset_dir"]
    if own.get("reward_model_type") != "api":
        names.append("reward_model")
    return {name: own[name] for name in names if ":" in str(own.get(name))}


def _written(rows: TrainingRows, output: Path, config: JobConfig) -> dict[str, Any]:
    """Write the rows as conversations, and return the arguments that name them."""
    folder = output.with_name("llama-factory-data")
    folder.mkdir(exist_ok=True)
    parts = {"train": rows.train, "validation": rows.validation}
    entries = {name: {"file_name": f"{name}.json", **_MESSAGES} for name in parts}
    (folder / "dataset_info.json").write_text(json.dumps(entries))
    for name, part in parts.items():
        (folder / f"{name}.json").write_text(json.dumps([_conversation(row, config.prompt) for row in part]))
    named = {"dataset_dir": str(folder), "dataset": "train"}
    return named | ({"eval_dataset": "validation", "do_eval": True} if rows.validation else {})


def _conversation(row: Row, prompt: Mapping[str, Any]) -> dict[str, Any]:
    answer = {"role": "assistant", "content": response_of(row, prompt)}
    return {"messages": [*messages_of(row, prompt), answer]}
