"""What the trainer does with the fields of the resource, in this process and in few steps."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmworkflow.cli.demo import CACHE
from llmworkflow.demo import base_model, grammar
from llmworkflow_jobs import trainer
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.training_data import TrainingRows
from llmworkflow_jobs.training_options import check, trl_arguments

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # transformers' and TRL's own, of each other
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

ROWS = [
    {"instruction": "What is the name?", "input": f"Game {n % 8}", "output": f"name[Game {n % 8}]"}
    for n in range(32)
]
Config = Callable[..., JobConfig]
Reports = list[dict[str, Any]]


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, stage_config: Callable[..., dict[str, Any]]) -> Config:
    """A function (**changes) that returns the configuration of a fine-tuning of the tiny model."""
    (tmp_path / "model").symlink_to(tiny_model)
    return lambda **changes: parse(stage_config("fineTune", **changes))


@pytest.fixture
def demo(tmp_path: Path) -> tuple[list[Any], list[Any]]:
    """The demo's rows to train on and to validate with, beside a link to its model."""
    (tmp_path / "demo").symlink_to(base_model.cached(CACHE, lambda part, message: None))
    grammar.write_dataset(tmp_path / "data")
    train, validation = (
        [json.loads(line) for line in (tmp_path / "data" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "validation")
    )
    return train, validation


def run(
    config: JobConfig, rows: list[Any] = ROWS, validation: list[Any] | None = None
) -> tuple[dict[str, Any], Reports]:
    """Metrics of a training, and what it told on the way."""
    reports: Reports = []
    result = trainer.train(config, TrainingRows(rows, validation or []), reports.append)
    return result["metrics"], reports


def output(tmp_path: Path) -> Path:
    return tmp_path / "default" / "viggo" / "stage" / "0123456789ab" / "1"


def test_learning_rate_zero_leaves_the_adapter_as_it_began(config: Config, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    metrics, reports = run(config(training={"learningRate": 0, "maxSteps": 3, "loggingSteps": 10}))
    weights = load_file(output(tmp_path) / "adapter" / "adapter_model.safetensors")
    assert {name.rsplit(".", 2)[1] for name in weights} == {"lora_A", "lora_B"}
    assert all(tensor.any() == ("lora_A" in name) for name, tensor in weights.items())
    assert metrics["trainLoss"] > 0
    assert [report["step"] for report in reports] == [3]  # the last step is always told


@pytest.mark.capability("full-models")
@pytest.mark.parametrize("change", [{"method": "full"}, {"export": {"merge": True}}], ids=["full", "merge"])
def test_whole_model_is_saved_with_what_belongs_to_it(
    config: Config, tmp_path: Path, tiny_model: Path, change: dict[str, Any]
) -> None:
    from transformers import AutoModelForCausalLM

    run(config(training={"maxSteps": 5}, **change))
    folder = output(tmp_path) / "model"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (folder / name).read_bytes() == (tiny_model / name).read_bytes()
    tuned, base = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (folder, tiny_model))
    assert tuned.keys() == base.keys()
    assert any((tuned[name] != base[name]).any() for name in base)


def test_packed_and_padded_training_reach_the_same_loss(
    config: Config, demo: tuple[list[Any], list[Any]]
) -> None:
    """On the demo's model and rows. A step sees all rows either way, so gradients are the same but for rounding."""
    rows, validation = demo[0][:64], demo[1][:32]
    training = {
        "maxLength": 256,
        "globalBatchSize": 64,
        "numTrainEpochs": 10,
        "learningRate": 5e-3,
        "loggingSteps": 1,
    }
    shapes = {
        "padded": {"perDeviceTrainBatchSize": 64},
        "packed": {"perDeviceTrainBatchSize": 16, "packing": True},
    }
    results = {}
    for name, shape in shapes.items():
        changes = {"model": {"source": "volume:demo"}, "stage": {"revision": name}}
        results[name], reports = run(config(training=training | shape, **changes), rows, validation)
        assert results[name]["steps"] == 10
        assert results[name]["evalLoss"] < 0.8 * reports[0]["loss"]
    assert results["packed"]["evalLoss"] == pytest.approx(results["padded"]["evalLoss"], rel=0.01)


def test_packed_rows_are_blind_to_each_other(config: Config) -> None:
    still = {"learningRate": 0, "maxSteps": 1, "globalBatchSize": 32, "perDeviceTrainBatchSize": 32}
    padded, _ = run(config(training=still))
    packed, _ = run(config(training=still | {"packing": True}, stage={"revision": "packed"}))
    assert packed["trainLoss"] == pytest.approx(padded["trainLoss"], rel=1e-4)


def test_accumulated_and_whole_batches_have_the_same_loss(config: Config) -> None:
    training = {"maxSteps": 8, "globalBatchSize": 8, "loggingSteps": 1, "learningRate": 1e-3}
    whole, _ = run(config(training=training | {"perDeviceTrainBatchSize": 8}))
    parts, _ = run(config(training=training | {"perDeviceTrainBatchSize": 2}, stage={"revision": "parts"}))
    assert parts["trainLoss"] == pytest.approx(whole["trainLoss"], rel=1e-3)


def losses(folder: Path) -> list[Any]:
    """Step and losses of each record of a curve, without what it took."""
    curve = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    return [(record["step"], record.get("loss"), record.get("eval_loss")) for record in curve]


@pytest.mark.capability("resume")
def test_resumed_run_equals_an_uninterrupted_one(config: Config, tmp_path: Path) -> None:
    """To the last bit: order of the rows, optimizer, schedule and random state, which the dropout draws from."""
    changes = {
        "training": {
            "numTrainEpochs": 5,
            "saveSteps": 6,
            "loggingSteps": 1,
            "evalSteps": 4,
            "keepCheckpoints": 9,
        },
        "lora": {"dropout": 0.2},
    }
    whole, _ = run(config(**changes), validation=ROWS[:8])
    for later in ("checkpoint-12", "checkpoint-18", "checkpoint-20"):
        shutil.rmtree(output(tmp_path) / "checkpoints" / later)
    resumed, reports = run(config(stage={"attempt": 2}, **changes), validation=ROWS[:8])
    assert (resumed["resumedFromStep"], resumed["steps"], whole["steps"]) == (6, 20, 20)
    assert [report["step"] for report in reports if "loss" in report] == list(range(7, 21))
    for metric in ("trainLoss", "evalLoss"):
        assert resumed[metric] == whole[metric]
    second = output(tmp_path).with_name("2")
    weights = "adapter/adapter_model.safetensors"
    assert (second / weights).read_bytes() == (output(tmp_path) / weights).read_bytes()
    assert losses(second) == losses(output(tmp_path))


def test_best_checkpoint_of_an_earlier_attempt_is_published(config: Config, tmp_path: Path) -> None:
    rising = {
        "loadBest": True,
        "evalSteps": 2,
        "saveSteps": 2,
        "learningRate": 5.0,
        "maxSteps": 12,
        "warmupRatio": 0.5,
    }
    first, _ = run(config(training=rising), validation=ROWS[:8])
    for later in ("checkpoint-10", "checkpoint-12"):
        shutil.rmtree(output(tmp_path) / "checkpoints" / later, ignore_errors=True)
    again, _ = run(
        config(training=rising | {"keepCheckpoints": 1}, stage={"attempt": 2}), validation=ROWS[:8]
    )
    assert 0 < again["resumedFromStep"] < 12
    assert again["evalLoss"] == first["evalLoss"]
    weights = "adapter/adapter_model.safetensors"
    assert (output(tmp_path).with_name("2") / weights).read_bytes() == (
        output(tmp_path) / weights
    ).read_bytes()


@pytest.mark.capability("validation")
def test_best_checkpoint_is_the_one_published(config: Config, tmp_path: Path) -> None:
    # A rate that is far too high makes the loss rise again.
    training = {
        "loadBest": True,
        "evalSteps": 2,
        "saveSteps": 2,
        "learningRate": 5.0,
        "maxSteps": 12,
        "warmupRatio": 0.5,
    }
    metrics, _ = run(config(training=training), validation=ROWS[:8])
    curve = [json.loads(line) for line in (output(tmp_path) / "training.jsonl").read_text().splitlines()]
    losses = {record["step"]: record["eval_loss"] for record in curve if "eval_loss" in record}
    best = min(losses, key=lambda step: losses[step])
    assert best < 12
    assert metrics["evalLoss"] == losses[best]
    weights = "adapter_model.safetensors"
    kept = output(tmp_path) / "checkpoints" / f"checkpoint-{best}" / weights
    assert (output(tmp_path) / "adapter" / weights).read_bytes() == kept.read_bytes()


@pytest.mark.capability("full-models")
def test_merged_model_answers_as_its_adapter_does(config: Config, tmp_path: Path, tiny_model: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    training = {"maxSteps": 8, "saveSteps": 8}
    run(config(training=training))
    adapter = output(tmp_path) / "adapter"
    run(config(training=training, export={"merge": True}, stage={"attempt": 2}))
    merged = AutoModelForCausalLM.from_pretrained(output(tmp_path).with_name("2") / "model")
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    ids = torch.arange(3, 60).unsqueeze(0)
    with torch.no_grad():
        plain, whole = base(ids).logits, merged(ids).logits
        adapted = PeftModel.from_pretrained(base, adapter)(ids).logits
    assert torch.allclose(whole, adapted, atol=1e-4)
    assert (whole - plain).abs().max() > 0.1


def records(content: bytes) -> Iterator[bytes]:
    """The records of a file of TensorFlow's: length, its checksum, data, its checksum."""
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield content[12 : 12 + length]
        content = content[16 + length :]


@pytest.mark.capability("trackers")
def test_events_of_tensorboard_lie_beside_the_artifact(config: Config, tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    training = {"maxSteps": 6, "loggingSteps": 2, "reportTo": ["tensorboard"]}
    _, reports = run(config(training=training))
    (file,) = (output(tmp_path) / "tensorboard").glob("events.out.tfevents.*")
    values = [
        (event.step, value.simple_value)
        for event in map(Event.FromString, records(file.read_bytes()))
        for value in event.summary.value
        if value.tag == "train/loss"
    ]
    assert values == [(report["step"], pytest.approx(report["loss"], rel=1e-6)) for report in reports]


def test_messages_in_bfloat16(config: Config) -> None:
    rows = [
        {
            "messages": [
                {"role": "user", "content": row["input"]},
                {"role": "assistant", "content": row["output"]},
            ]
        }
        for row in ROWS
    ]
    training = {"precision": "bf16", "numTrainEpochs": 4, "lossOn": "all", "gradientCheckpointing": True}
    metrics, reports = run(config(prompt={"format": "messages"}, training=training), rows)
    assert metrics["steps"] == 16
    assert reports[-1]["loss"] < reports[0]["loss"]


def test_long_rows_are_counted(config: Config) -> None:
    rows = [*ROWS[:8], ROWS[0] | {"output": "name " * 400}]
    metrics, _ = run(config(training={"maxSteps": 1}), rows)
    assert (metrics["trainRows"], metrics["truncatedRows"]) == (9, 1)


@pytest.mark.capability("trainer-options")
def test_extra_arguments_reach_trl(config: Config, tmp_path: Path) -> None:
    extra = {"adam_beta2": 0.95, "model_init_kwargs": {"attn_implementation": "eager"}}
    arguments = trl_arguments(config(training={"extra": extra}), str(tmp_path), evaluated=False, workers=1)
    assert arguments.items() >= extra.items()
    run(config(training={"extra": extra, "maxSteps": 1}))


@pytest.mark.capability("trainer-options")
@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"extra": {"learning_rat": 1}},
            "learning_rat is not a field of TRL's SFTConfig.*did you mean learning_rate?",
        ),
        ({"extra": {"learning_rate": 1}}, r"training\.extra\.learning_rate is set by training\.learningRate"),
    ],
)
def test_extra_arguments_are_checked_before_a_worker_starts(
    config: Config, training: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobError, match=message) as caught:
        check(config(training=training))
    assert caught.value.reason == "OptionInvalid"


def test_a_value_that_trl_looks_at_late_is_told_by_its_name(config: Config) -> None:
    with pytest.raises(JobError, match=r"training\.extra\.loss_type: TRL refuses 'nil': .*'nll'") as caught:
        run(config(training={"extra": {"loss_type": "nil"}}))
    assert caught.value.reason == "OptionInvalid"


@pytest.mark.parametrize("training", [{"lrSchedulerType": "cosin"}, {"extra": {"optim": "adamw"}}])
def test_values_that_trl_refuses_are_told_as_such(config: Config, training: dict[str, Any]) -> None:
    with pytest.raises(JobError, match=r"fineTune\.training: TRL.*refuses") as caught:
        run(config(training=training))
    assert caught.value.reason == "OptionInvalid"
