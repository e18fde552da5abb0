"""The base model's folder, digest, tokenizer and end tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import model
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import Report

Config = Callable[..., JobConfig]

OWN_CODE = """
from transformers import PreTrainedConfig

class OwnConfig(PreTrainedConfig):
    model_type = "own"
    layers = 3
"""


@pytest.fixture
def folder(tmp_path: Path, chat_tokenizer: Any) -> Path:
    """A base model without weights, which nothing here needs."""
    folder = tmp_path / "model"
    chat_tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", "vocab_size": 320}))
    return folder


@pytest.mark.capability("model-sources")
def test_model_is_found_and_its_digest_reported(fine_tune: Config, report: Report, folder: Path) -> None:
    base = model.resolve(fine_tune(), report)
    assert (base.source, base.folder) == ("volume:model", str(folder))
    assert report.digests == {"volume:model": base.digest}
    model.resolve(fine_tune(pinned=report.digests), report)
    (folder / "config.json").write_text("{}")
    with pytest.raises(JobError, match=r"model\.source volume:model has changed") as caught:
        model.resolve(fine_tune(pinned={"volume:model": base.digest}), report)
    assert caught.value.reason == "InputChanged"


@pytest.mark.parametrize(
    ("files", "reason", "message"),
    [
        (None, "FileNotFound", "model.source volume:model does not exist"),
        ([], "ModelInvalid", "has no config.json"),
        (["model.safetensors"], "ModelInvalid", "has no config.json"),
    ],
)
def test_folder_that_is_no_model_is_refused(
    fine_tune: Config, report: Report, tmp_path: Path, files: list[str] | None, reason: str, message: str
) -> None:
    if files is not None:
        (tmp_path / "model").mkdir()
        for name in files:
            (tmp_path / "model" / name).touch()
    with pytest.raises(JobError, match=message) as caught:
        model.resolve(fine_tune(), report)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("generation", "ids"),
    [(None, [2]), ({}, [2]), ({"eos_token_id": 0}, [0, 2]), ({"eos_token_id": [2, 0]}, [0, 2])],
)
def test_end_tokens_are_those_of_model_and_tokenizer(
    folder: Path, chat_tokenizer: Any, generation: dict[str, Any] | None, ids: list[int]
) -> None:
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    assert model.eos_token_ids(str(folder), chat_tokenizer) == ids


@pytest.mark.capability("own-code")
def test_code_of_a_model_runs_only_where_it_may(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    (folder / "own.py").write_text(OWN_CODE)
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (folder / "config.json").write_text(json.dumps(own))
    with pytest.raises(JobError, match=r"read that, and set model\.trustRemoteCode") as caught:
        model.settings({"trustRemoteCode": False}, str(folder))
    assert caught.value.reason == "ModelInvalid"
    assert model.settings({"trustRemoteCode": True}, str(folder)).layers == 3
