"""Fine-tuning on one GPU: this project's job code beside plain padded transformers and PEFT, on the same rows.

    PYTHONPATH=operator:jobs python bench/gpu/train.py DATA [--rows 2048] [--epochs 1] [--packs 8]

DATA is a folder with ViGGO's train.jsonl and val.jsonl. Loading is left out of the figures, as are the first steps.
Each run has its own process, so that it finds the GPU empty. The unpacked run sees the same rows at each step as the
plain one, from the same initial adapter, so that their losses can be compared step by step.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import workload

from llmworkflow.api.spec.fine_tune import FineTune

# Loss and clock are read at each of so many steps: both runs wait for the GPU as often.
_LOG_STEPS = 4
# With three such batches a step sees about as many rows as one of eight packs.
_PLAIN_ROWS = 16
_ACCUMULATE = 3
_LENGTH = 2048
_RATE = 5e-4


class Clock:
    """The time from the first log to the last, and the share of the steps that lies between them."""

    def __init__(self) -> None:
        self.steps = 0
        self.marks: list[tuple[int, float]] = []
        self.losses: list[float] = []

    def __call__(self, record: dict[str, Any]) -> None:
        if "loss" in record:
            self.steps = record["steps"]
            self.marks.append((record["step"], time.perf_counter()))
            self.losses.append(record["loss"])

    def figures(self, rows: int, tokens: int) -> dict[str, Any]:
        (first, began), (last, ended) = self.marks[0], self.marks[-1]
        per_second = (last - first) / self.steps / (ended - began)
        return {
            "samplesPerSecond": round(rows * per_second, 2),
            "tokensPerSecond": round(tokens * per_second),
            "steps": self.steps,
            "losses": [round(loss, 4) for loss in self.losses],
        }


def ours(folder: Path, train: list[Any], validation: list[Any], section: FineTune) -> dict[str, Any]:
    """The figures of `llmworkflow_jobs.trainer`."""
    from llmworkflow_jobs import model, trainer
    from llmworkflow_jobs.training_data import TrainingRows, tokenise

    shape = section.training
    revision = f"{shape.packing}{shape.per_device_train_batch_size}of{len(train)}"
    config = workload.job("fineTune", folder, section, revision)
    clock = Clock()
    metrics = trainer.train(config, TrainingRows(train, validation), clock)["metrics"]
    tokenizer = trainer.load_training_tokenizer(config, str(folder / "model"))
    ends = model.eos_token_ids(str(folder / "model"), tokenizer)
    tokens = sum(len(example["input_ids"]) for example in tokenise(tokenizer, train, config, ends).examples)
    epochs = shape.num_train_epochs
    return clock.figures(epochs * len(train), epochs * tokens) | {"evalLoss": metrics["evalLoss"]}


def profile(folder: Path, train: list[Any], validation: list[Any], section: FineTune) -> dict[str, Any]:
    """The kernels that take the GPU's time in `ours`, printed."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    with profiler(activities=[ProfilerActivity.CUDA]) as seen:
        figures = ours(folder, train[:256], validation[:8], section)
    print(seen.key_averages().table(sort_by="self_cuda_time_total", row_limit=24, max_name_column_width=60))
    return figures


def plain(folder: Path, train: list[Any], validation: list[Any], section: FineTune) -> dict[str, Any]:
    """The figures of transformers' Trainer with PEFT, rows padded to the longest of each batch."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from llmworkflow_jobs import model, trainer
    from llmworkflow_jobs.training_data import tokenise
    from llmworkflow_jobs.training_options import lora_arguments

    config = workload.job("fineTune", folder, section, "plain")
    tokenizer = trainer.load_training_tokenizer(config, str(folder / "model"))
    ends = model.eos_token_ids(str(folder / "model"), tokenizer)
    rows, held_out = (tokenise(tokenizer, part, config, ends).examples for part in (train, validation))
    set_seed(0)  # the initial adapter is then that of the other runs
    base = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16, device_map="cuda")
    clock = Clock()
    arguments = TrainingArguments(
        output_dir=str(folder / "plain"),
        num_train_epochs=section.training.num_train_epochs,
        learning_rate=_RATE,
        per_device_train_batch_size=_PLAIN_ROWS,
        per_device_eval_batch_size=_PLAIN_ROWS,
        gradient_accumulation_steps=_ACCUMULATE,
        bf16=True,
        logging_steps=_LOG_STEPS,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    run = Trainer(
        get_peft_model(base, LoraConfig(**lora_arguments(config.section))),
        arguments,
        DataCollatorForSeq2Seq(tokenizer),
        train_dataset=rows,
        eval_dataset=held_out,
    )
    run.add_callback(_follower(clock))
    run.train()
    epochs = section.training.num_train_epochs
    tokens = sum(len(row["input_ids"]) for row in rows)
    return clock.figures(epochs * len(rows), epochs * tokens) | {"evalLoss": run.evaluate()["eval_loss"]}


def _section(epochs: int, batch: int, accumulate: int = 1, packing: bool = False) -> FineTune:
    return FineTune.model_validate(
        {
            "data": {"train": [{"uri": "volume:train.jsonl"}]},
            "lora": {"rank": 8, "alpha": 16},
            "training": {
                "numTrainEpochs": epochs,
                "learningRate": _RATE,
                "lrSchedulerType": "linear",
                "warmupRatio": 0.0,
                "perDeviceTrainBatchSize": batch,
                "globalBatchSize": batch * accumulate,
                "maxLength": _LENGTH,
                "packing": packing,
                "precision": "bf16",
                "loggingSteps": _LOG_STEPS,
                "saveSteps": 100000,
                "evalSteps": 100000,
                "loadBest": False,
                "seed": 0,
            },
        }
    )


def _follower(clock: Clock) -> Any:
    from transformers import TrainerCallback

    class Follower(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            clock({"step": state.global_step, "steps": state.max_steps, **state.log_history[-1]})

    return Follower()


def _report(name: str, run: Callable[..., dict[str, Any]], *arguments: Any) -> None:
    print(name, json.dumps(workload.in_process(run, *arguments)), flush=True)


def main() -> None:
    """Measure both, and print one JSON object a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--packs", type=int, nargs="+", default=[8])
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    train = workload.read_rows(options.data / "train.jsonl", options.rows)
    validation = workload.read_rows(options.data / "val.jsonl", 128)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload.in_process(workload.make_model, folder / "model", workload.texts(options.data), True)
        packed = [_section(options.epochs, packs, packing=True) for packs in options.packs]
        unpacked = _section(options.epochs, _PLAIN_ROWS, _ACCUMULATE)
        for packs, section in zip(options.packs, packed, strict=True):
            _report(f"ours, {packs} packs a step", ours, folder, train, validation, section)
        if options.profile:
            _report("profile", profile, folder, train, validation, packed[0])
        _report(f"ours, {_PLAIN_ROWS} rows", ours, folder, train, validation, unpacked)
        _report(f"plain, {_PLAIN_ROWS} rows", plain, folder, train, validation, unpacked)


if __name__ == "__main__":
    sys.exit(main())
