"""The base model: its folder, its digest, its tokenizer and the tokens that end a turn."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from llmworkflow_jobs import hub, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.prompt import ending_with
from llmworkflow_jobs.report import Report


@dataclass(frozen=True)
class BaseModel:
    """A model on local disk. `digest` is `sha256:<hex>` over all files, or `commit:<hex>` for one of the hub."""

    source: str
    folder: str
    digest: str


def resolve(config: JobConfig, report: Report) -> BaseModel:
    """Bring the base model to local disk, check it and report its digest.

    Raises ModelInvalid, FileNotFound, StorageError, or InputChanged if its digest is not the pinned one.
    """
    source = config.model["source"]
    folder = local_folder(config)
    digest = _digest(source, folder)
    pinned = config.pinned.get(source, digest)
    if pinned != digest:
        raise JobError(
            "InputChanged",
            f"model.source {source} has changed since an earlier run of this revision: it was {pinned}, now {digest}; "
            "put it back, or set inputs: recheck to run with the new one",
        )
    report.resolved(source, digest)
    return BaseModel(source, folder, digest)


def source_digest(config: JobConfig) -> str:
    """Digest of what model.source holds now, as `resolve` reports it. Raises as `local_folder` does."""
    return _digest(config.model["source"], local_folder(config))


def local_folder(config: JobConfig) -> str:
    """Local folder of the base model, with a config.json in it; fetched where it is not local yet."""
    source = config.model["source"]
    folder = _from_hub(config) if source.startswith(hub.SCHEME) else storage.local_path(source, config)
    if not os.path.isdir(folder):
        raise JobError("FileNotFound", f"model.source {source} does not exist (read as {folder})")
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise JobError(
            "ModelInvalid", f"model.source {source} has no config.json; name the folder that holds one"
        )
    return folder


def load_tokenizer(config: JobConfig, folder: str) -> Any:
    """The model's tokenizer, with prompt.chatTemplate if that is set, and a template that ends in assistantPrefill.

    Raises ModelInvalid if it cannot be loaded or has no chat template.
    """
    tokenizer = plain_tokenizer(config, folder)
    tokenizer.chat_template = _chat_template(config, tokenizer)
    return tokenizer


def plain_tokenizer(config: JobConfig, folder: str) -> Any:
    """The model's tokenizer, for texts that are no chat. Raises ModelInvalid if it cannot be loaded."""
    from transformers import AutoTokenizer  # slow to import, and not every process needs it

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=config.model["trustRemoteCode"])
    except (OSError, ValueError) as error:
        raise JobError(
            "ModelInvalid", f"the tokenizer of {config.model['source']} cannot be loaded: {error}"
        ) from error
    if not tokenizer.encode("a", add_special_tokens=False):
        # transformers makes an empty tokenizer where there are settings but no vocabulary.
        raise JobError(
            "ModelInvalid", f"the tokenizer of {config.model['source']} has no vocabulary; add tokenizer.json"
        )
    return tokenizer


def settings(section: Mapping[str, Any], folder: str) -> Any:
    """The configuration of the model in `folder`; `section` is the job's model section.

    Raises ModelInvalid where it cannot be read, as when it takes code of the model's own that may not run.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=section["trustRemoteCode"])
    except ValueError as error:
        own_code = "trust_remote_code" in str(error)
        cause = (
            "it takes code of its own; read that, and set model.trustRemoteCode if it may run"
            if own_code
            else error
        )
        raise JobError("ModelInvalid", f"the model in {folder} cannot be read: {cause}") from error


def eos_token_ids(folder: str, tokenizer: Any) -> list[int]:
    """Tokens at which generation stops, sorted: those of generation_config.json and the tokenizer's own."""
    ids = _generation_config(folder).get("eos_token_id")
    listed = ids if isinstance(ids, list) else [ids]
    return sorted({token for token in [*listed, tokenizer.eos_token_id] if token is not None})


def _chat_template(config: JobConfig, tokenizer: Any) -> str:
    """The template that training, batch and endpoint share."""
    template = config.prompt.get("chatTemplate") or tokenizer.chat_template
    if not template:
        raise JobError(
            "ModelInvalid",
            f"model.source {config.model['source']} has no chat template; "
            "use an instruct model, or set prompt.chatTemplate",
        )
    if isinstance(template, dict):  # several by name, of which chats take the default
        template = tokenizer.get_chat_template()
    prefill = config.prompt.get("assistantPrefill")
    return ending_with(template, prefill) if prefill else str(template)


def _generation_config(folder: str) -> dict[str, Any]:
    path = os.path.join(folder, "generation_config.json")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        document: dict[str, Any] = json.load(file)
    return document


def _digest(source: str, folder: str) -> str:
    if source.startswith(hub.SCHEME):
        return f"commit:{os.path.basename(folder)}"  # the hub's cache names the folder of a snapshot by its commit
    return storage.tree_digest(fs.LocalFileSystem(), folder)


def _from_hub(config: JobConfig) -> str:
    """Snapshot of a model of the Hugging Face hub, downloaded unless the cache has it."""
    source, revision = config.model["source"], config.model.get("revision")
    return hub.snapshot(
        source.removeprefix(hub.SCHEME),
        source,
        lambda error: JobError(
            "ModelInvalid", f"{source}, revision {revision}: {error}; check name and token"
        ),
        revision=revision,
    )
