"""The card beside the weights says what they are and what they were made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmworkflow_jobs import model_card
from llmworkflow_jobs.config import JobConfig

SIGNED = "https://me:s3cret@host/x.jsonl?Signature=abc"
LINEAGE = {
    "base": {"source": "hf://Qwen/Qwen2.5-7B-Instruct", "digest": "commit:a09a354"},
    "data": {"s3://rows/train.jsonl": "sha256:11", "s3://rows/a|b.jsonl": "sha256:22", SIGNED: "sha256:33"},
    "metrics": {"trainLoss": 0.123456789, "steps": 96},
}


@pytest.mark.capability("model-card")
def test_a_card_of_an_adapter(fine_tune: Callable[..., JobConfig]) -> None:
    config = fine_tune(training={"learningRate": 2e-4}, lora={"rank": 4})
    text = model_card.text(config, "adapter", LINEAGE)
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "base_model": "Qwen/Qwen2.5-7B-Instruct",
        "library_name": "peft",
        "license": "unknown",
        "tags": ["llmworkflow", "lora", "sft"],
    }
    for line in (
        "# viggo: stage",
        "| hf://Qwen/Qwen2.5-7B-Instruct | commit:a09a354 |",
        "| s3://rows/train.jsonl | sha256:11 |",
        "| s3://rows/a\\|b.jsonl | sha256:22 |",
        "| https://host/x.jsonl | sha256:33 |",
        "| lora.rank | 4 |",
        "| training.learningRate | 0.0002 |",
        "| trainLoss | 0.123457 |",
    ):
        assert line in body.splitlines()
    assert "An adapter (LoRA, objective sft) of `hf://Qwen/Qwen2.5-7B-Instruct`" in body
    assert "revision 0123456789ab, attempt 1" in body
    assert "preference." not in body


@pytest.mark.parametrize(
    ("fields", "kind", "has", "lacks"),
    [
        ({"method": "full"}, "model", "library_name: \"transformers\"", "| lora."),
        ({"objective": "dpo"}, "adapter", "| preference.beta | 0.1 |", "config."),
        ({"config": {"stage": "sft", "lora_rank": 8}}, "adapter", "| config.lora_rank | 8 |", "| training."),
        ({"config": {"stage": "ppo"}}, "adapter", "An adapter (LoRA, objective ppo)", "sft"),
        ({"config": {"stage": "pt", "finetuning_type": "full"}}, "model", "(all weights, objective pt)", "lora"),
        ({"config": {"finetuning_type": "freeze"}}, "model", '["llmworkflow", "freeze", "sft"]', "LoRA"),
    ],
)  # fmt: skip
def test_what_bears_on_the_result_is_told(
    fine_tune: Callable[..., JobConfig], fields: dict[str, Any], kind: str, has: str, lacks: str
) -> None:
    text = model_card.text(fine_tune(**fields), kind, LINEAGE)
    assert has in text
    assert lacks not in text


@pytest.mark.capability("model-card")
def test_the_card_lies_with_the_weights(fine_tune: Callable[..., JobConfig], tmp_path: Path) -> None:
    config = fine_tune()
    folder = tmp_path / "default" / "viggo" / "stage" / "0123456789ab" / "1" / "adapter"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("what PEFT wrote")
    model_card.write(config, "adapter", LINEAGE)
    assert (folder / "README.md").read_text() == model_card.text(config, "adapter", LINEAGE)
