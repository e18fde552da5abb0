"""LLaMA-Factory's own YAML: what is kept, what the workflow has in its place, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import checkpoints, llama_factory, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.llama_factory_config import addresses, arguments
from llmworkflow_jobs.training_data import TrainingRows
from llmworkflow_jobs.training_options import artifact_kind, check

Config = Callable[..., JobConfig]
OWN = {"dataset": "viggo", "dataset_dir": "/data", "lora_rank": 8, "output_dir": "/elsewhere"}
ROW = {"instruction": "What is the name?", "input": "", "output": "Portal"}


@pytest.fixture
def factory(fine_tune: Config) -> Config:
    """A function (own, **changes) that returns the configuration of a fine-tuning by LLaMA-Factory."""

    def make(own: dict[str, Any], data: Any = None, **changes: Any) -> JobConfig:
        return fine_tune(engine="llamaFactory", config=own, data=data, **changes)

    return make


def test_the_workflow_says_where_it_runs_and_what_it_writes(factory: Config, tmp_path: Path) -> None:
    spread = {"ray_num_workers": 4, "resources_per_worker": {"GPU": 1}, "placement_strategy": "PACK"}
    config = factory(OWN | spread | {"trust_remote_code": True})
    check(config)
    called = arguments(config, None, "/model", tmp_path / "output")
    assert not spread.keys() & called.keys()
    assert called["lora_rank"] == 8
    assert called["model_name_or_path"] == "/model"
    assert called["output_dir"] == str(tmp_path / "output")
    assert called["dataset_dir"] == "/data"
    assert called["trust_remote_code"] is False  # as model.trustRemoteCode has it
    assert called["use_cpu"] is True


def test_rows_of_the_workflow_are_written_as_conversations(factory: Config, tmp_path: Path) -> None:
    config = factory(
        {"stage": "sft"}, data={"train": [{"uri": "volume:a"}], "validation": None, "split": None}
    )
    check(config)
    called = arguments(config, TrainingRows([ROW, ROW], [ROW]), "/model", tmp_path / "output")
    assert (called["dataset"], called["eval_dataset"]) == ("train", "validation")
    folder = Path(called["dataset_dir"])
    entry = json.loads((folder / "dataset_info.json").read_text())["train"]
    rows = json.loads((folder / entry["file_name"]).read_text())
    assert (
        rows
        == [
            {
                "messages": [
                    {"role": "user", "content": "What is the name?"},
                    {"role": "assistant", "content": "Portal"},
                ]
            }
        ]
        * 2
    )


@pytest.mark.capability("rewards")
@pytest.mark.parametrize(
    ("own", "read"),
    [
        ({"reward_model": "s3://a/judge"}, {"reward_model": "s3://a/judge"}),
        ({"reward_model": "/judge", "dataset_dir": "volume:data"}, {"dataset_dir": "volume:data"}),
        ({"reward_model": "/models/judge"}, {}),
        ({"adapter_name_or_path": "volume:sft"}, {"adapter_name_or_path": "volume:sft"}),
        ({"ref_model": "volume:a", "ref_model_adapters": "s3://b/c"}, {"ref_model": "volume:a", "ref_model_adapters": "s3://b/c"}),
        ({"reward_model_adapters": "volume:judge"}, {"reward_model_adapters": "volume:judge"}),
        ({"adapter_name_or_path": "owner/adapter"}, {}),
        ({"reward_model": "http://judge:8000/v1", "reward_model_type": "api"}, {}),
    ],
)  # fmt: skip
def test_addresses_are_read_and_paths_and_servers_are_left(
    factory: Config, own: dict[str, Any], read: dict[str, str]
) -> None:
    assert addresses(factory({"dataset": "viggo", "stage": "ppo", **own})) == read


def test_an_address_becomes_a_folder(factory: Config, tmp_path: Path) -> None:
    config = factory({"dataset": "viggo", "stage": "ppo", "reward_model": "volume:judge"})
    called = arguments(config, None, "/model", tmp_path / "output")
    assert called["reward_model"] == str(tmp_path / "judge")


@pytest.mark.parametrize(
    ("own", "changes", "message"),
    [
        (OWN | {"model_name_or_path": "a/b"}, {}, "model_name_or_path is a/b, while model.source"),
        ({}, {}, "names no dataset"),
        ({"stage": "dpo"}, {"data": {"train": []}}, "config.stage sft, which is dpo"),
    ],
)
def test_what_contradicts_the_workflow_is_refused(
    factory: Config, own: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message) as caught:
        check(factory(own, **changes))
    assert caught.value.reason == "OptionInvalid"


@pytest.mark.parametrize(("kind", "made"), [(None, "adapter"), ("lora", "adapter"), ("full", "model")])
def test_what_it_makes(factory: Config, kind: str | None, made: str) -> None:
    own = OWN | ({"finetuning_type": kind} if kind else {})
    assert artifact_kind(factory(own).section) == made


def test_what_it_draws_and_measures_is_kept_beside_the_adapter(
    factory: Config,
) -> None:
    config = factory(OWN | {"plot_loss": True})
    output = checkpoints.local_root(config).parent / "llama-factory"
    made = {
        "adapter_config.json": "{}",
        "adapter_model.safetensors": "weights",
        "trainer_state.json": '{"log_history": [{"loss": 1.0, "step": 1}], "global_step": 1}',
        "training_loss.png": "a drawing",
        "all_results.json": "{}",
        "train_results.json": "{}",
        "runs/today/events.out": "events",
    }
    for name, text in made.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)
    llama_factory._save(output, "/model", config)
    attempt = Path(storage.open_uri(config.output_uri, config)[1])
    kept = attempt / "llama-factory-results"
    found = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    assert found == {"training_loss.png", "all_results.json", "train_results.json", "runs/today/events.out"}
    assert {path.name for path in (attempt / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


@pytest.mark.parametrize(
    ("last", "reason", "retryable"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.", "OutOfMemory", False),
        ("ValueError: Some specified arguments are not used", "OptionInvalid", False),
        ("RuntimeError: NCCL error", "InternalError", True),
    ],
)
def test_why_it_ended_is_told_by_the_last_error_of_its_log(last: str, reason: str, retryable: bool) -> None:
    found = llama_factory.failure_of(f"{last}\nTraceback was above\n", 1)
    assert (found.reason, found.retryable) == (reason, retryable)
    assert last in found.message
