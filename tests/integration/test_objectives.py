"""Objectives other than sft, trained for real on the tiny model: pairs, judgements, plain text."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import trainer
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.training_data import TrainingRows
from llmworkflow_jobs.training_options import check

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # transformers' and TRL's own, of each other
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

Config = Callable[..., JobConfig]
QUICK = {
    "maxSteps": 12,
    "globalBatchSize": 8,
    "perDeviceTrainBatchSize": 4,
    "learningRate": 5e-3,
    "loggingSteps": 4,
}


def asked(number: int) -> dict[str, str]:
    return {"instruction": "What is the name?", "input": f"Game {number}"}


PAIRS = [
    asked(number) | {"chosen": f"name[Game {number}]", "rejected": f"Game {number} is a game"}
    for number in range(40)
]


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, stage_config: Callable[..., dict[str, Any]]) -> Config:
    """A function (objective, **changes) that returns the configuration of a short fine-tuning of the tiny model."""
    (tmp_path / "model").symlink_to(tiny_model)
    return lambda objective, training=(), **changes: parse(
        stage_config("fineTune", objective=objective, training=QUICK | dict(training), **changes)
    )


def run(config: JobConfig, rows: list[Any], validation: list[Any]) -> tuple[dict[str, Any], list[float]]:
    """Metrics of a training, and the losses that it told on the way."""
    check(config)
    reports: list[dict[str, Any]] = []
    result = trainer.train(config, TrainingRows(rows, validation), reports.append)
    return result["metrics"], [told["loss"] for told in reports if "loss" in told]


def output(tmp_path: Path) -> Path:
    return tmp_path / "default" / "viggo" / "stage" / "0123456789ab" / "1"


@pytest.mark.capability("preferences")
def test_pairs_teach_which_response_is_better(config: Config, tmp_path: Path) -> None:
    metrics, losses = run(config("dpo"), PAIRS[:32], PAIRS[32:])
    assert metrics["rewardAccuracy"] == 1.0
    assert metrics["evalLoss"] < 0.5 * math.log(2)  # the loss of a model that knows no better
    assert losses[-1] < losses[0]
    assert (output(tmp_path) / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.capability("preferences")
def test_a_whole_model_learns_from_pairs(config: Config, tmp_path: Path, tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    metrics, _ = run(config("dpo", {"learningRate": 1e-3}, method="full"), PAIRS[:32], PAIRS[32:])
    assert metrics["rewardAccuracy"] == 1.0
    folders = (output(tmp_path) / "model", tiny_model)
    tuned, base = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in folders)
    assert tuned.keys() == base.keys()
    assert any((tuned[name] != base[name]).any() for name in base)


@pytest.mark.capability("preferences")
def test_judgements_teach_which_responses_are_good(config: Config) -> None:
    rows = [
        asked(number) | {"output": row[part], "label": part == "chosen"}
        for number, row in enumerate(PAIRS)
        for part in ("chosen", "rejected")
    ]
    metrics, losses = run(config("kto", {"maxSteps": 16}), rows[:64], rows[64:])
    assert metrics["evalLoss"] < 0.45  # 0.5 for a model that knows no better
    assert losses[-1] < losses[0]


@pytest.mark.capability("pretraining")
def test_a_text_is_learned(config: Config) -> None:
    rows = [{"text": f"Game {number} is a game of the year. " * 8} for number in range(20)]
    training = {"maxLength": 64, "packing": True, "maxSteps": 40}
    metrics, losses = run(config("pretrain", training, method="full"), rows[:16], rows[16:])
    assert metrics["evalLoss"] < 0.5 * losses[0]


def test_names_of_extra_are_those_of_the_objective(config: Config) -> None:
    check(config("dpo", {"extra": {"label_smoothing": 0.1}}))
    with pytest.raises(JobError, match="assistant_only_loss is not a field of TRL's DPOConfig"):
        check(config("dpo", {"extra": {"assistant_only_loss": True}}))
