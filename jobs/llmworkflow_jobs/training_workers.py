"""Fine-tuning in Ray Train's workers: one or more processes, each with a GPU or with CPUs, on any node."""

from __future__ import annotations

import itertools
import logging
import os
from typing import Any

import ray
from ray import train as ray_train
from ray.train import RunConfig, ScalingConfig, UserCallback, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer

from llmworkflow_jobs import checkpoints, elastic
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import to_job_error
from llmworkflow_jobs.training_data import TrainingRows
from llmworkflow_jobs.training_options import worker_counts
from llmworkflow_jobs.training_progress import Progress

# How often a run is started again within one attempt.
MAX_RESTARTS = 3
# Ray Train's controller takes over what a worker reported only when it looks, and until then the worker cannot report
# again: with the default of 2 s, small models would spend their time waiting. Its patch of print breaks dill, which
# datasets hashes with.
_SETTINGS = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25", "RAY_TRAIN_ENABLE_PRINT_PATCH": "0"}

# Where Ray Train keeps an exception that a worker's code raised; a worker that was lost has none.
_RAISED = "_base_exc"

logger = logging.getLogger(__name__)


class ProgressCallback(UserCallback):
    """Passes on what the workers report; runs beside the driver, in Ray Train's controller."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        self._progress(metrics[0])


def train(config: JobConfig, rows: TrainingRows, progress: Progress) -> dict[str, Any]:
    """Train in workers.count workers, or workers.min to max; returns what `trainer.train` returns.

    A run that loses a worker is started again, as is one whose number of workers changes, and goes on from the newest
    checkpoint. Raises JobError.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    trainer = _trainer(config, rows, progress)
    for restart in itertools.count(1):
        began = checkpoints.newest(config)
        try:
            return trainer.fit().return_value
        except WorkerGroupError as error:
            failures = list(error.worker_failures.values())
            got_further = checkpoints.newest(config) != began
            if restart > MAX_RESTARTS or not worth_restarting(failures, got_further):
                raise verdict(failures) from error
            logger.warning("restart %d of %d: %s", restart, MAX_RESTARTS, verdict(failures))
    raise AssertionError  # the loop ends by return or raise


def _trainer(config: JobConfig, rows: TrainingRows, progress: Progress) -> TorchTrainer:
    arguments = {
        "train_loop_config": {"config": config, "rows": ray.put(rows)},
        "torch_config": TorchConfig(backend=_backend(config)),
        "scaling_config": _scaling(config),
        "run_config": RunConfig(
            name="ray", storage_path=config.output_uri, callbacks=[ProgressCallback(progress)]
        ),
    }
    if config.section["workers"]["min"] is None:
        return TorchTrainer(_train_in_worker, **arguments)
    counts = worker_counts(config.section)
    return elastic.ElasticTrainer(_train_in_worker, worker_counts=counts, **arguments)


def worth_restarting(failures: list[Exception], got_further: bool) -> bool:
    """Whether a run that ended with these failures, one a worker, may go better.

    So it is where a worker was lost. The others may have noticed first, by an error of communication that looks like
    one of the code: then the run is worth another try as long as it gets further, to a new checkpoint.
    """
    if not verdict(failures).retryable:
        return False
    return got_further or not all(hasattr(failure, _RAISED) for failure in failures)


def verdict(failures: list[Exception]) -> JobError:
    """The one failure that explains the others: what cannot be retried, else what the code raised."""
    raised = [getattr(failure, _RAISED) for failure in failures if hasattr(failure, _RAISED)]
    errors = [to_job_error(error) for error in raised or failures]
    return next((error for error in errors if not error.retryable), errors[0])


def _train_in_worker(loop: dict[str, Any]) -> dict[str, Any]:
    from llmworkflow_jobs import trainer  # TRL, for which the driver need not wait

    return trainer.train(loop["config"], ray.get(loop["rows"]), ray_train.report)


def _backend(config: JobConfig) -> str:
    if config.accelerator is None:
        return "gloo"
    # What FSDP brings to the memory of the hosts, it has to pass on there too.
    distributed = config.section["training"]["distributed"]
    return "cpu:gloo,cuda:nccl" if distributed and distributed["fsdp"] is not None else "nccl"


def _scaling(config: JobConfig) -> ScalingConfig:
    """At most one GPU a worker: transformers would take several for one device with a split batch."""
    workers, accelerator = config.section["workers"], config.accelerator
    resources = {"CPU": workers["cpu"] or 1}
    if accelerator:
        resources["GPU"] = min(1, accelerator["count"])
    return ScalingConfig(
        num_workers=workers["count"] if workers["min"] is None else (workers["min"], workers["max"]),
        elastic_resize_monitor_interval_s=elastic.MONITOR_SECONDS,
        use_gpu=accelerator is not None,
        resources_per_worker=resources | workers["resources"],
        placement_strategy=workers["placementStrategy"],
        accelerator_type=accelerator["type"] if accelerator else None,
    )
