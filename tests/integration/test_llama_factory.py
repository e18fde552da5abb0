"""LLaMA-Factory with the YAML of its users, in an environment that the job makes, on a tiny model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # transformers' and PEFT's own, of each other
]

WAIT = 400  # seconds; the first time the environment is made
# As users have it, with less to do; what names nodes and paths of a cluster is left out or put in its place by the job.
YAML = {
    "trust_remote_code": True,
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_rank": 8,
    "lora_target": "all",
    "dataset": "viggo-train",
    "dataset_dir": "volume:viggo",
    "template": "qwen",
    "cutoff_len": 2048,
    "max_samples": 1000,
    "overwrite_cache": True,
    "output_dir": "/mnt/cluster_storage/viggo/outputs",
    "logging_steps": 2,
    "save_steps": 500,
    "plot_loss": True,
    "overwrite_output_dir": True,
    "save_only_model": False,
    "ray_run_name": "lora_sft_ray",
    "ray_storage_path": "/mnt/cluster_storage/viggo/saves",
    "ray_num_workers": 4,
    "resources_per_worker": {"GPU": 1, "anyscale/accelerator_shape:4xL4": 0.001},
    "placement_strategy": "PACK",
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 5.0e-3,
    "num_train_epochs": 3.0,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.1,
    "bf16": True,
    "ddp_timeout": 180000000,
    "resume_from_checkpoint": None,
}
ROWS = [
    {"instruction": "What is the name?", "input": f"Game {number}", "output": f"name[Game {number}]"}
    for number in range(32)
]


@pytest.fixture
def volume(tmp_path: Path, tiny_model: Path) -> Path:
    """Storage with the data set, and the tiny model as a transformers of LLaMA-Factory's time saves it."""
    shutil.copytree(tiny_model, tmp_path / "model")
    for name, change in {
        "config.json": {"rope_theta": 10000.0, "torch_dtype": "float32"},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
    }.items():
        file = tmp_path / "model" / name
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    (tmp_path / "viggo").mkdir()
    (tmp_path / "viggo" / "dataset_info.json").write_text(
        json.dumps({"viggo-train": {"file_name": "train.json"}})
    )
    (tmp_path / "viggo" / "train.json").write_text(json.dumps(ROWS))
    return tmp_path


@pytest.mark.capability("llama-factory", "own-environment")
def test_the_yaml_of_its_users_makes_an_adapter(
    volume: Path, stage_document: Callable[..., dict[str, Any]], start_shared_job: Any
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    config = stage_document("fineTune", volume.as_uri(), engine="llamaFactory", config=YAML, data=None)
    report = start_shared_job("fine_tune", config).wait(WAIT)
    assert report["state"] == "Succeeded", report["error"]
    assert report["artifact"]["type"] == "adapter"
    attempt = volume / "default" / "viggo" / "stage" / "0123456789ab" / "1"
    curve = [json.loads(line) for line in (attempt / "training.jsonl").read_text().splitlines()]
    assert curve[-1]["loss"] < curve[0]["loss"]
    manifest = json.loads((attempt / "manifest.json").read_text())
    assert (manifest["dtype"], manifest["seed"]) == ("bfloat16", 42)
    assert list(manifest["data"]) == ["volume:viggo"]

    base = AutoModelForCausalLM.from_pretrained(volume / "model")
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        plain = base(ids).logits
        adapted = PeftModel.from_pretrained(base, attempt / "adapter")(ids).logits
    assert (adapted - plain).abs().max() > 0.1


@pytest.mark.capability("llama-factory")
def test_what_it_refuses_is_told(
    volume: Path, stage_document: Callable[..., dict[str, Any]], start_shared_job: Any
) -> None:
    wrong = YAML | {"lora_rnak": 8}
    config = stage_document("fineTune", volume.as_uri(), engine="llamaFactory", config=wrong, data=None)
    report = start_shared_job("fine_tune", config).wait(WAIT)
    assert report["state"] == "Failed"
    assert report["error"]["reason"] == "OptionInvalid"
    assert "lora_rnak" in report["error"]["message"]
