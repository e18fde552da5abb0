"""Loading the base model's tokenizer, which imports torch, and refusing those that would train a model badly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import model, trainer
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.errors import JobError

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path, chat_tokenizer: Any) -> Path:
    """A base model without weights, which a tokenizer does not need."""
    folder = tmp_path / "model"
    chat_tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "qwen2", "vocab_size": len(chat_tokenizer)})
    )
    return folder


def config(stage_config: Callable[..., Any], **changes: Any) -> JobConfig:
    return parse(stage_config("fineTune", **changes))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.capability("chat-template-options")
def test_chat_template_is_the_one_asked_for(
    stage_config: Callable[..., Any], folder: Path, chat_tokenizer: Any
) -> None:
    loaded = model.load_tokenizer(config(stage_config), str(folder))
    assert loaded.chat_template == chat_tokenizer.chat_template
    own = config(stage_config, prompt={"chatTemplate": "{{ messages }}"})
    assert model.load_tokenizer(own, str(folder)).chat_template == "{{ messages }}"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "chat_template.jinja").unlink(), r"no chat template.*prompt\.chatTemplate"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no vocabulary"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot be loaded"),
        (
            lambda folder: edit(folder / "tokenizer_config.json", pad_token="<|im_end|>"),
            r"both '<\|im_end\|>'.*set pad_token",
        ),
        (
            lambda folder: edit(folder / "config.json", vocab_size=300),
            r"has \d+ tokens, the model embeds 300",
        ),
    ],
)
def test_tokenizer_that_would_train_badly_is_refused(
    stage_config: Callable[..., Any], folder: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(folder)
    with pytest.raises(JobError, match=message) as caught:
        trainer.load_training_tokenizer(config(stage_config), str(folder))
    assert caught.value.reason == "ModelInvalid"


def test_tokenizer_without_padding_is_taken(stage_config: Callable[..., Any], folder: Path) -> None:
    """Labels and masks are explicit, so it does not matter what stands in the padding."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "pad_token"}))
    tokenizer = trainer.load_training_tokenizer(config(stage_config), str(folder))
    assert tokenizer.pad_token != tokenizer.eos_token
