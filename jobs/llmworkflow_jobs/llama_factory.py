"""Fine-tuning by LLaMA-Factory with its own YAML, in an environment of its own; for `engine: llamaFactory`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmworkflow_jobs import (
    checkpoints,
    hub,
    llama_factory_config,
    llama_factory_environment,
    model,
    storage,
    training_result,
)
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.training_data import TrainingRows
from llmworkflow_jobs.training_options import artifact_kind
from llmworkflow_jobs.training_progress import Progress

# What it says of each log, and what it found in the end; both in its output folder.
_LOG = "trainer_log.jsonl"
_RESULTS = "all_results.json"
_METRICS = {
    "train_loss": "trainLoss",
    "eval_loss": "evalLoss",
    "train_runtime": "trainSeconds",
    "train_samples_per_second": "samplesPerSecond",
    "reward": "reward",
}
_STATE = "trainer_state.json"
_POLL_SECONDS = 0.5
_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
_VALUE_HEAD = "value_head.safetensors"  # part of a reward model; of what PPO made, no engine knows it
# What it draws and measures for people, and the folder beside the artifact that keeps it.
_FOR_PEOPLE = ("*.png", "*_results.json", "runs")
_KEPT = "llama-factory-results"
# In its folder beside what belongs to a model.
_LEFT_OUT = (
    *_FOR_PEOPLE,
    "checkpoint-*",
    "*.jsonl",
    _STATE,
    "training_args.bin",
    "README.md",
)


def train(config: JobConfig, rows: TrainingRows | None, progress: Progress) -> dict[str, Any]:
    """Train on a worker of the Ray cluster and save the result in the attempt's folder.

    Without `rows` it reads the data sets that its YAML names. Returns {metrics, chatTemplateDigest, eosTokenIds}.
    Raises JobError.
    """
    import ray
    from ray.exceptions import RayTaskError

    workers, accelerator = config.section["workers"], config.accelerator
    task = ray.remote(_train).options(
        num_returns="streaming",
        num_cpus=workers["cpu"] or 1,
        num_gpus=accelerator["count"] if accelerator else 0,
        accelerator_type=accelerator["type"] if accelerator else None,
        resources=workers["resources"] or None,
        max_retries=0,
    )
    told: dict[str, Any] = {}
    try:
        for reference in task.remote(config, rows):
            told = ray.get(reference)
            if "step" in told:
                progress(told)
    except RayTaskError as error:
        raise error.cause from error
    return told


def _train(config: JobConfig, rows: TrainingRows | None) -> Iterator[dict[str, Any]]:
    """What it logs, as it does, and at last what `train` returns."""
    root = checkpoints.local_root(config).parent
    output = root / "llama-factory"
    shutil.rmtree(output, ignore_errors=True)  # an earlier run of this attempt may have left files
    output.mkdir(parents=True)
    folder = model.local_folder(config)
    document = root / "llama-factory.json"
    arguments = llama_factory_config.arguments(config, rows, folder, output)
    document.write_text(json.dumps(arguments, indent=2))
    interpreter = llama_factory_environment.python(_stage(config), storage.cache())
    yield from _run([str(interpreter), "-m", "llamafactory.cli", "train", str(document)], output, config)
    _save(output, folder, config)
    tokenizer = model.load_tokenizer(config, folder)
    yield {
        "metrics": _metrics(output),
        "chatTemplateDigest": storage.text_digest(tokenizer.chat_template),
        "eosTokenIds": model.eos_token_ids(folder, tokenizer),
    }
    shutil.rmtree(output)


def _run(command: list[str], output: Path, config: JobConfig) -> Iterator[dict[str, Any]]:
    """Run it to its end, and yield {step, steps, loss, eval_loss} as it logs them."""
    log = output.with_suffix(".log")
    own = {"PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}", "DISABLE_VERSION_CHECK": "1"}
    if config.accelerator is None:
        own["CUDA_VISIBLE_DEVICES"] = ""
    with (
        log.open("w") as out,
        subprocess.Popen(command, env=os.environ | own, stdout=out, stderr=subprocess.STDOUT) as process,
    ):
        told = 0
        while True:
            running = process.poll() is None
            records = _records(output / _LOG)
            yield from (record for record in records[told:])  # Ray sends into it, which a list cannot take
            told = len(records)
            if not running:
                break
            time.sleep(_POLL_SECONDS)
    print(log.read_text(), flush=True)  # noqa: T201 - into the log of the job
    if process.returncode:
        raise failure_of(log.read_text(), process.returncode)


def _records(log: Path) -> list[dict[str, Any]]:
    """What it logged so far, in whole lines."""
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    told = [json.loads(line) for line in lines]
    return [
        {"step": record["current_steps"], "steps": record["total_steps"], **_losses(record)}
        for record in told
        if _losses(record)
    ]


def _losses(record: Mapping[str, Any]) -> dict[str, float]:
    return {key: record[key] for key in ("loss", "eval_loss") if record.get(key) is not None}


def failure_of(log: str, code: int) -> JobError:
    """The last error of its log; a ValueError is how it refuses an argument."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    error = next((line for line in reversed(lines) if "Error: " in line), lines[-1] if lines else "nothing")
    message = f"LLaMA-Factory ended with {code}: {error}"
    if error.startswith("ValueError"):
        return JobError("OptionInvalid", f"fineTune.config: {message}")
    if "OutOfMemoryError" in error:
        return JobError("OutOfMemory", f"{message}; lower per_device_train_batch_size or cutoff_len")
    return JobError("InternalError", message, retryable=True)


def _stage(config: JobConfig) -> str:
    return str(config.section["config"].get("stage", "sft"))


def _save(output: Path, base: str, config: JobConfig) -> None:
    kind, rewards = artifact_kind(config.section), _stage(config) == "rm"
    folder = output.with_name(kind)
    shutil.rmtree(folder, ignore_errors=True)
    if kind == "adapter":
        folder.mkdir()
        for name in (*_ADAPTER, _VALUE_HEAD) if rewards else _ADAPTER:
            shutil.copy(output / name, folder)
        settings = json.loads((folder / _ADAPTER[0]).read_text())
        settings["base_model_name_or_path"] = config.model["source"].removeprefix(hub.SCHEME)
        (folder / _ADAPTER[0]).write_text(json.dumps(settings, indent=2))
    else:
        left_out = _LEFT_OUT if rewards else (*_LEFT_OUT, _VALUE_HEAD)
        shutil.copytree(output, folder, ignore=shutil.ignore_patterns(*left_out))
        training_result.copy_companions(Path(base), folder)
    storage.upload(str(folder), f"{config.output_uri}/{kind}", config)
    _keep(output, config)
    history = json.loads((output / _STATE).read_text())["log_history"]
    curve = "".join(f"{json.dumps(record)}\n" for record in history if _losses(record))
    filesystem, path = storage.open_uri(f"{config.output_uri}/{training_result.CURVE}", config)
    storage.write_text(filesystem, path, curve)


def _keep(output: Path, config: JobConfig) -> None:
    folder = output.with_name(_KEPT)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for found in (path for pattern in _FOR_PEOPLE for path in output.glob(pattern)):
        (shutil.copytree if found.is_dir() else shutil.copy)(found, folder / found.name)
    storage.upload(str(folder), f"{config.output_uri}/{_KEPT}", config)


def _metrics(output: Path) -> dict[str, Any]:
    """What it measured; of PPO, which sums nothing up, the reward that it logged last."""
    state = json.loads((output / _STATE).read_text())
    summary = output / _RESULTS
    logged = state["log_history"] or [{}]
    results = json.loads(summary.read_text()) if summary.exists() else logged[-1]
    found = {ours: results[name] for name, ours in _METRICS.items() if name in results}
    return {"steps": state["global_step"]} | found
