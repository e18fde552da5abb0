"""Fine-tuning in one worker process: TRL's trainers over the rows that the driver read and checked."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    BitsAndBytesConfig,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from llmworkflow_jobs import checkpoints, gpu_kernels, model, sharding, storage, training_result
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.objectives import Example
from llmworkflow_jobs.packing import pack
from llmworkflow_jobs.training_data import Tokenised, TrainingRows, tokenise
from llmworkflow_jobs.training_options import lora_arguments, trl_arguments
from llmworkflow_jobs.trl_trainers import TOOLS

# Told {step, steps} and the newest of loss and eval_loss at each log.
Follow = Callable[[dict[str, Any]], None]

# The events of training.reportTo: [tensorboard], in the attempt's folder too.
EVENTS = "tensorboard"

_TRAINER_STATE = "trainer_state.json"  # as transformers names it in a checkpoint
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}

logger = logging.getLogger(__name__)


def train(config: JobConfig, rows: TrainingRows, follow: Follow) -> dict[str, Any]:
    """Train from the newest complete checkpoint to the end and save the result in the attempt's folder.

    To be called in every worker. Returns {metrics, chatTemplateDigest, eosTokenIds}.
    """
    if config.accelerator is None:
        torch.set_num_threads(_threads(config))
    folder = model.local_folder(config)
    tokenizer = load_training_tokenizer(config, folder)
    end_ids = model.eos_token_ids(folder, tokenizer)
    data = tokenise(tokenizer, rows.train, config, end_ids)
    validation = tokenise(tokenizer, rows.validation, config, end_ids)

    trainer = _build_trainer(config, folder, tokenizer, data, validation)
    trainer.add_callback(Follower(config, follow))
    trainer.remove_callback(PrinterCallback)  # prints what Follower passes on
    metrics = _run(trainer, config)
    metrics |= {"trainRows": len(data.examples), "truncatedRows": data.truncated + validation.truncated}
    if validation.examples:
        metrics |= {"evalRows": len(validation.examples), "evalLoss": _final_eval_loss(trainer, config)}
    if config.section["objective"] == "dpo":
        metrics["rewardAccuracy"] = _reward_accuracy(trainer.state, evaluated=bool(validation.examples))
    if "samplesPerSecond" in metrics:  # of packs, where rows are packed
        metrics["samplesPerSecond"] *= len(data.examples) / len(trainer.train_dataset)
    weights = sharding.gathered(trainer)
    if trainer.is_world_process_zero():
        _write_curve(trainer.state, config)
        _upload_events(config)
        training_result.save(trainer.accelerator.unwrap_model(trainer.model), weights, config, folder)
    return {
        "metrics": metrics,
        "chatTemplateDigest": storage.text_digest(tokenizer.chat_template),
        "eosTokenIds": end_ids,
    }


def load_training_tokenizer(config: JobConfig, folder: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer, refused where training with it would make a model that cannot be served well."""
    tokenizer = model.load_tokenizer(config, folder)
    source = config.model["source"]
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id == tokenizer.eos_token_id:
        raise JobError(
            "ModelInvalid",
            f"model.source {source}: pad token and EOS token are both {tokenizer.eos_token!r}, so padding cannot be "
            "told from the end of a turn; set pad_token to a token of its own in tokenizer_config.json",
        )
    rows = training_result.model_config(config, folder).get_text_config().vocab_size
    if len(tokenizer) > rows:
        raise JobError(
            "ModelInvalid",
            f"model.source {source}: the tokenizer has {len(tokenizer)} tokens, the model embeds {rows}; "
            "tokens added later have no embedding that an adapter could train: add them to the base model first",
        )
    return tokenizer


class Follower(TrainerCallback):
    """Passes on what is logged, completes and prunes checkpoints, and sees that the last step is logged."""

    def __init__(self, config: JobConfig, follow: Follow) -> None:
        self._config = config
        self._follow = follow

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.best_model_checkpoint:  # of an earlier attempt, perhaps on another machine
            state.best_model_checkpoint = _best_folder(state, self._config)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_log |= state.global_step >= state.max_steps
        if control.should_save:
            # The folder tells transformers of a best checkpoint. Workers that disagreed would wait for each other.
            _checkpoint_folder(args, state).mkdir(parents=True, exist_ok=True)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Every worker has to report, equally often: Ray Train waits for all of them.
        record = state.log_history[-1]
        losses = {key: record[key] for key in ("loss", "eval_loss") if key in record}
        if losses:
            self._follow({"step": state.global_step, "steps": state.max_steps, **losses})

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        folder = _checkpoint_folder(args, state)
        PartialState().wait_for_everyone()  # each worker saves its own random state, and its part of what is spread
        if state.is_local_process_zero and not state.is_world_process_zero:
            checkpoints.hand_over(folder, self._config)
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            checkpoints.finish(folder, self._config)
            keep = self._config.section["training"]["keepCheckpoints"]
            checkpoints.prune(self._config, keep, state.best_model_checkpoint)
            _write_curve(state, self._config)
            _upload_events(self._config)


def _checkpoint_folder(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def _build_trainer(
    config: JobConfig,
    folder: str,
    tokenizer: PreTrainedTokenizerBase,
    data: Tokenised,
    validation: Tokenised,
) -> Trainer:
    section = config.section
    arguments = trl_arguments(
        config, str(checkpoints.local_root(config)), evaluated=bool(validation.examples), workers=_workers()
    )
    # Full fine-tuning updates weights by less than half precision can hold; the adapters of LoRA are float32 anyway.
    dtype = torch.float32 if section["method"] == "full" else _DTYPES[section["training"]["precision"]]
    arguments["model_init_kwargs"] = {"dtype": dtype, **arguments.get("model_init_kwargs", {})}
    attention = _attention(config, folder)
    if attention:
        arguments["padding_free"] = True
        arguments["model_init_kwargs"]["attn_implementation"] = attention
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(_events_folder(config))
    settings = _trl_config(config, arguments)
    sharding.prepare(settings, on_cpus=config.accelerator is None)
    with _refusals_of(section["training"]["extra"]):
        trainer = TOOLS[section["objective"]].trainer(
            model=folder,
            args=settings,
            train_dataset=Dataset.from_list(_sequences(data.examples, section["training"])),
            eval_dataset=Dataset.from_list(validation.examples) if validation.examples else None,
            processing_class=tokenizer,
            peft_config=None if section["method"] == "full" else LoraConfig(**lora_arguments(section)),
            quantization_config=_quantization(dtype) if section["method"] == "qlora" else None,
        )
    if attention:
        gpu_kernels.speed_up(trainer.model)
    return trainer


def _sequences(examples: list[Example], training: Mapping[str, Any]) -> list[Example]:
    return pack(examples, training["maxLength"], training["seed"]) if training["packing"] else examples


def _attention(config: JobConfig, folder: str) -> str | None:
    """The faster attention for LoRA on a GPU, or None for transformers' own choice; training.extra may have another."""
    training = config.section["training"]
    if config.accelerator is None or config.section["method"] != "lora" or training["distributed"]:
        return None
    if config.section["objective"] in ("dpo", "kto"):  # TRL pads their rows
        return None
    if {"padding_free", "model_init_kwargs"} & training["extra"].keys():
        return None
    model_type = training_result.model_config(config, folder).model_type
    return gpu_kernels.attention(model_type, _DTYPES[training["precision"]])


@contextmanager
def _refusals_of(extra: Mapping[str, Any]) -> Iterator[None]:
    """Tell an error that names an option of `training.extra` as one in its value: TRL looks at some only here."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if named := next((name for name in extra if name in str(error)), None):
            problem = f"fineTune.training.extra.{named}: TRL refuses {extra[named]!r}: {error}"
            raise JobError("OptionInvalid", problem) from error
        raise


def _trl_config(config: JobConfig, arguments: dict[str, Any]) -> TrainingArguments:
    kind = TOOLS[config.section["objective"]].config
    try:
        return kind(trust_remote_code=config.model["trustRemoteCode"], **arguments)
    except (TypeError, ValueError) as error:
        problem = f"fineTune.training: TRL's {kind.__name__} refuses it: {error}"
        raise JobError("OptionInvalid", problem) from error


def _quantization(dtype: torch.dtype) -> BitsAndBytesConfig:
    """NF4 with double quantization, as in the QLoRA paper (arXiv:2305.14314)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _run(trainer: Trainer, config: JobConfig) -> dict[str, Any]:
    """Train what is left to train; metrics by name."""
    checkpoint = checkpoints.newest(config)
    if checkpoint is None:
        return {"resumedFromStep": 0, **_train(trainer, None)}
    logger.info("resuming from %s", checkpoint.uri)
    folder = Path(checkpoints.fetch(checkpoint, config))
    state = TrainerState.load_from_json(str(folder / _TRAINER_STATE))
    if state.global_step < state.max_steps:
        return {"resumedFromStep": checkpoint.step, **_train(trainer, str(folder))}
    # Trainer.train would take one step more where the steps end within an epoch.
    trainer.state = state
    best = _best_folder(state, config) if state.best_model_checkpoint else str(folder)
    if config.section["training"]["distributed"]:  # which spreads the model as well
        trainer._prepare_for_training(state.max_steps, trainer.get_train_dataloader(), best)  # noqa: SLF001
    else:
        trainer._load_from_checkpoint(best)  # noqa: SLF001
    return {"resumedFromStep": checkpoint.step, "steps": state.global_step, "trainLoss": _last(state, "loss")}


def _best_folder(state: TrainerState, config: JobConfig) -> str:
    """Local folder of the checkpoint with the lowest validation loss, whichever attempt wrote it."""
    name = Path(state.best_model_checkpoint or "").name
    found = checkpoints.named(name, config)
    if found is None:
        raise JobError(
            "ArtifactMissing",
            f"{config.revision_uri}: {name}, the best checkpoint so far (training.loadBest), is gone; "
            "restore it, or delete the folder to train anew",
        )
    return checkpoints.fetch(found, config)


def _train(trainer: Trainer, folder: str | None) -> dict[str, Any]:
    output = trainer.train(resume_from_checkpoint=folder)
    return {
        "steps": output.global_step,
        "trainLoss": _last(trainer.state, "loss"),
        "trainSeconds": output.metrics["train_runtime"],
        "samplesPerSecond": output.metrics["train_samples_per_second"],
    }


def _final_eval_loss(trainer: Trainer, config: JobConfig) -> float:
    """Validation loss of the weights that are published."""
    state = trainer.state
    if config.section["training"]["loadBest"] and state.best_metric is not None:
        return float(state.best_metric)
    if any("eval_loss" in record and record["step"] == state.global_step for record in state.log_history):
        return _last(state, "eval_loss")
    return float(trainer.evaluate()["eval_loss"])


def _reward_accuracy(state: TrainerState, evaluated: bool) -> float:
    """The share of pairs whose better response has become more likely than the worse one, against the base model."""
    return _last(state, "eval_rewards/accuracies" if evaluated else "rewards/accuracies")


def _last(state: TrainerState, key: str) -> float:
    return next((float(record[key]) for record in reversed(state.log_history) if key in record), math.nan)


def _write_curve(state: TrainerState, config: JobConfig) -> None:
    """Write the curve from its beginning: the state holds it over all attempts."""
    records = [record for record in state.log_history if "loss" in record or "eval_loss" in record]
    filesystem, path = storage.open_uri(f"{config.output_uri}/{training_result.CURVE}", config)
    storage.write_text(filesystem, path, "".join(f"{json.dumps(record)}\n" for record in records))


def _events_folder(config: JobConfig) -> Path:
    return checkpoints.local_root(config).parent / EVENTS


def _upload_events(config: JobConfig) -> None:
    if _events_folder(config).is_dir():
        storage.upload(str(_events_folder(config)), f"{config.output_uri}/{EVENTS}", config)


def _workers() -> int:
    """Processes that train together now, which for an elastic run is not known before."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _threads(config: JobConfig) -> int:
    """Threads for this worker's share of the cores. Ray sets one thread a worker unless told otherwise."""
    cpu = config.section["workers"]["cpu"]
    if cpu:
        return max(1, int(cpu))
    return max(1, _available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _available_cores() -> int:
    """Cores that this process may use, by affinity and by the quota of its control group (version 2)."""
    cores = len(os.sched_getaffinity(0))
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        limit, period = quota.read_text().split()
        if limit != "max":
            cores = min(cores, math.ceil(int(limit) / int(period)))
    return cores
