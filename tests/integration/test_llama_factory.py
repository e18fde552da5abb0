"""LLaMA-Factory with the YAML of its users, in an environment that the job makes, on a tiny model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow.api.spec.serve import ServedModel
from llmworkflow.render.stage_config import public

from .endpoint import serving

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
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
    "preprocessing_num_workers": 2,
    "dataloader_num_workers": 1,
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
    "eval_dataset": "viggo-val",
    "per_device_eval_batch_size": 8,
    "eval_strategy": "steps",
    "eval_steps": 500,
}
# What both steps of learning from rewards have.
REWARDS = {
    "do_train": True,
    "finetuning_type": "lora",
    "lora_target": "all",
    "dataset_dir": "volume:viggo",
    "template": "qwen",
    "cutoff_len": 256,
    "per_device_train_batch_size": 4,
    "learning_rate": 1.0e-3,
    "logging_steps": 1,
    "max_steps": 3,
}
ROWS = [
    {"instruction": "What is the name?", "input": f"Game {number}", "output": f"name[Game {number}]"}
    for number in range(32)
]


PAIRS = [
    {"instruction": row["instruction"], "input": row["input"], "chosen": row["output"], "rejected": "year"}
    for row in ROWS
]
DATASETS = {
    "viggo-train": {"file_name": "train.json"},
    "viggo-val": {"file_name": "validation.json"},
    "viggo-pairs": {
        "file_name": "pairs.json",
        "ranking": True,
        "columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
    },
}
TUNED = {"stage": "tune", "revision": "0123456789ab", "attempt": 1}


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Storage with the data sets, and the tiny model as a transformers of LLaMA-Factory's time saves it."""
    volume = tmp_path_factory.mktemp("llama-factory")
    shutil.copytree(tiny_model, volume / "model")
    for name, change in {
        "config.json": {"rope_theta": 10000.0, "torch_dtype": "float32"},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
    }.items():
        file = volume / "model" / name
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
    data = volume / "viggo"
    data.mkdir()
    files = {"dataset_info": DATASETS, "train": ROWS, "validation": ROWS[:8], "pairs": PAIRS}
    for name, content in files.items():
        (data / f"{name}.json").write_text(json.dumps(content))
    return volume


@pytest.fixture(scope="module")
def train(
    volume: Path, stage_document: Callable[..., dict[str, Any]], start_shared_job: Any
) -> Callable[..., dict[str, Any]]:
    """A function (stage, its YAML, **changes) that returns the report of a fine-tuning by LLaMA-Factory."""

    def run(stage: str, own: dict[str, Any], **changes: Any) -> dict[str, Any]:
        changes |= {"engine": "llamaFactory", "config": own, "data": None}
        config = stage_document("fineTune", volume.as_uri(), stage={"name": stage}, **changes)
        report: dict[str, Any] = start_shared_job("fine_tune", config).wait(WAIT)
        return report

    return run


@pytest.fixture(scope="module")
def adapter(train: Callable[..., dict[str, Any]]) -> dict[str, str]:
    """The artifact that the YAML of its users makes."""
    report = train("tune", YAML)
    assert report["state"] == "Succeeded", report["error"]
    artifact: dict[str, str] = report["artifact"]
    return artifact


@pytest.mark.capability("llama-factory", "own-environment")
def test_the_yaml_of_its_users_makes_an_adapter(volume: Path, adapter: dict[str, str]) -> None:
    assert adapter["type"] == "adapter"
    attempt = volume / "default/viggo/tune/0123456789ab/1"
    curve = [json.loads(line) for line in (attempt / "training.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in curve if "loss" in record]
    assert losses[-1] < losses[0]
    manifest = json.loads((attempt / "manifest.json").read_text())
    assert (manifest["dtype"], manifest["seed"]) == ("bfloat16", 42)
    assert list(manifest["data"]) == ["volume:viggo"]
    assert manifest["metrics"]["steps"] == 12
    kept = {path.name for path in (attempt / "llama-factory-results").iterdir()}
    assert {"training_loss.png", "all_results.json"} <= kept
    assert difference(volume, attempt / "adapter") > 0.1


@pytest.fixture(scope="module")
def rows_of(
    volume: Path,
    adapter: dict[str, str],
    stage_document: Callable[..., dict[str, Any]],
    start_shared_job: Any,
) -> dict[str, str]:
    """The artifact of a batch that the adapter has answered."""
    made = {"kind": "fineTune", "artifact": adapter, **TUNED}
    config = stage_document(
        "batch",
        volume.as_uri(),
        stage={"name": "score"},
        inputs={"tune": made},
        input={"uri": "volume:viggo/validation.json"},
    )
    config["batch"]["model"] = {"stage": "tune"}
    report = start_shared_job("batch", config).wait(WAIT)
    assert report["state"] == "Succeeded", report
    artifact: dict[str, str] = report["artifact"]
    return artifact


@pytest.mark.capability("llama-factory")
def test_its_adapter_is_scored_and_served(
    volume: Path,
    adapter: dict[str, str],
    rows_of: dict[str, str],
    stage_document: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    served = {"modelId": "viggo", "model": {"stage": "tune"}}
    model = {**public(ServedModel.model_validate(served)), "loadsAdapters": True}
    document = stage_document("serve", volume.as_uri(), stage={"name": "chat"}, models=[model])
    with serving(tmp_path, document) as endpoint:
        verdict = endpoint.change(TUNED | adapter, {"rows": 8, "agreement": 1.0, "rowsOf": rows_of}, WAIT)
        assert verdict["passed"], verdict
        tuned = endpoint.ask()
        assert tuned.model == "viggo:tune-0123456789ab-1"
        assert endpoint.change(None, None)["passed"]
        assert endpoint.ask().choices[0].message.content != tuned.choices[0].message.content


@pytest.mark.capability("llama-factory")
def test_what_it_refuses_is_told(train: Callable[..., dict[str, Any]]) -> None:
    report = train("wrong", YAML | {"lora_rnak": 8})
    assert report["state"] == "Failed"
    assert report["error"]["reason"] == "OptionInvalid"
    assert "lora_rnak" in report["error"]["message"]


@pytest.mark.capability("rewards")
def test_a_model_of_rewards_teaches_by_ppo(volume: Path, train: Callable[..., dict[str, Any]]) -> None:
    judged = REWARDS | {"stage": "rm", "dataset": "viggo-pairs"}
    report = train("judge", judged, export={"merge": False, "mirror": "volume:rewards"})
    assert report["state"] == "Succeeded", report["error"]
    assert (volume / "rewards/value_head.safetensors").exists()
    asked = REWARDS | {"stage": "ppo", "dataset": "viggo-train", "reward_model": "volume:rewards"}
    report = train("please", asked | {"max_new_tokens": 8})
    assert report["state"] == "Succeeded", report["error"]
    assert report["metrics"]["steps"] == {"value": 3}
    assert "reward" in report["metrics"]
    attempt = volume / "default/viggo/please/0123456789ab/1"
    assert list(json.loads((attempt / "manifest.json").read_text())["data"]) == [
        "volume:viggo",
        "volume:rewards",
    ]
    assert sorted(file.name for file in (attempt / "adapter").iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert difference(volume, attempt / "adapter") > 0


def difference(volume: Path, adapter: Path) -> float:
    """How far the base model's scores of tokens are from those with the adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(volume / "model")
    ids = torch.arange(3, 40).unsqueeze(0)
    with torch.no_grad():
        plain = base(ids).logits
        adapted = PeftModel.from_pretrained(base, adapter)(ids).logits
    return float((adapted - plain).abs().max())
