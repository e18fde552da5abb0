"""The fine-tuning job: `python -m llmworkflow_jobs.fine_tune`.

The driver checks options, data and base model before any worker starts, has the model trained, and publishes what the
training saved.
"""

from __future__ import annotations

import logging
from typing import Any

from llmworkflow_jobs import model, overlap, report, storage, training_options
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.training_data import TrainingRows, load_rows
from llmworkflow_jobs.training_progress import Progress

logger = logging.getLogger(__name__)

_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def main(config: JobConfig, report: Report) -> None:
    """Fine-tune the base model as the configuration says and publish an adapter or a model."""
    storage.claim(config)
    if already := storage.published(config):
        _report_again(*already, report)
        return
    training_options.check(config)
    base = model.resolve(config, report)
    rows = load_rows(config, report)
    report.progress(0, 1, f"{len(rows.train)} rows read, the trainer starts")
    result = _train(config, rows, Progress(report))
    overlap.write(rows.train, config)
    artifact = _publish(config, base, result, report)
    report.metrics(result["metrics"])
    report.succeed(artifact)


def _train(config: JobConfig, rows: TrainingRows, progress: Progress) -> dict[str, Any]:
    """Train where it is best done; see `trainer.train` for what is returned.

    Ray Train's controller and helpers are five more processes, which take longer to start than a small model takes
    to train. A lone CPU worker on a lone machine is therefore the driver itself.
    """
    import ray  # the imports here take seconds: bad input is told before

    ray.init(logging_level=logging.WARNING)
    workers = config.section["workers"]
    alone = workers["min"] is None and workers["count"] == 1
    if config.accelerator is None and alone and len(ray.nodes()) == 1:
        from llmworkflow_jobs import trainer

        return trainer.train(config, rows, progress)

    from llmworkflow_jobs import training_workers

    return training_workers.train(config, rows, progress)


def _publish(
    config: JobConfig, base: model.BaseModel, result: dict[str, Any], report: Report
) -> dict[str, str]:
    training = config.section["training"]
    kind = training_options.artifact_kind(config.section)
    lineage = {
        "base": {"source": base.source, "digest": base.digest},
        "chatTemplateDigest": result["chatTemplateDigest"],
        "eosTokenIds": result["eosTokenIds"],
        "dtype": _DTYPES[training["precision"]],
        "data": {uri: digest for uri, digest in report.digests.items() if uri != base.source},
        "seed": training["seed"],
        "metrics": result["metrics"],
    }
    return storage.publish(config, kind, [kind, "training.jsonl", overlap.FILE], lineage)


def _report_again(artifact: dict[str, str], manifest: dict[str, Any], report: Report) -> None:
    """Repeat the success of a run that had published before it was started once more."""
    logger.info("%s is published already", artifact["uri"])
    for uri, digest in [(manifest["base"]["source"], manifest["base"]["digest"]), *manifest["data"].items()]:
        report.resolved(uri, digest)
    report.metrics(manifest["metrics"])
    report.succeed(artifact)


if __name__ == "__main__":
    report.run(main)
