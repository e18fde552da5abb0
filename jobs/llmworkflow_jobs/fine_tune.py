"""The fine-tuning job: `python -m llmworkflow_jobs.fine_tune`.

The driver checks options, data and base model before any worker starts, has the model trained, and publishes what the
training saved.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from llmworkflow_jobs import (
    dataset_info,
    inference_model,
    llama_factory_config,
    model,
    model_card,
    overlap,
    report,
    storage,
    training_options,
)
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.training_data import TrainingRows, load_rows
from llmworkflow_jobs.training_progress import Progress

logger = logging.getLogger(__name__)

# LLaMA-Factory's, where its YAML has none.
_THEIR_SEED = 42
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def main(config: JobConfig, report: Report) -> None:
    """Fine-tune the base model as the configuration says and publish an adapter or a model."""
    storage.claim(config)
    if already := storage.published(config):
        _report_again(*already, report)
        return
    config = inference_model.starting_from(config)
    training_options.check(config)
    # What is wrong with rows is told before a model is fetched; LLaMA-Factory may read data sets of its own.
    rows = load_rows(config, report) if config.section["data"] else None
    base = model.resolve(config, report)
    if rows is None or config.section["engine"] == "llamaFactory":
        result = _by_llama_factory(config, rows, report)
    else:
        report.progress(0, 1, f"{len(rows.train)} rows read, the trainer starts")
        result = _train(config, rows, Progress(report))
    if rows:
        overlap.write(rows.train, config)
    artifact = _publish(config, base, result, report, overlap.FILE if rows else None)
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
    alone = workers["min"] is None and workers["count"] == 1 and not config.section["training"]["distributed"]
    if config.accelerator is None and alone and len(ray.nodes()) == 1:
        from llmworkflow_jobs import trainer

        return trainer.train(config, rows, progress)

    from llmworkflow_jobs import training_workers

    return training_workers.train(config, rows, progress)


def _by_llama_factory(config: JobConfig, rows: TrainingRows | None, report: Report) -> dict[str, Any]:
    for folder in llama_factory_config.addresses(config).values():
        report.resolved(folder, dataset_info.digest(folder, config))
    report.progress(0, 1, "LLaMA-Factory starts")
    import ray  # the imports here take seconds: bad input is told before

    from llmworkflow_jobs import llama_factory

    ray.init(logging_level=logging.WARNING)
    return llama_factory.train(config, rows, Progress(report))


def _publish(
    config: JobConfig, base: model.BaseModel, result: dict[str, Any], report: Report, digests: str | None
) -> dict[str, str]:
    kind = training_options.artifact_kind(config.section)
    lineage = {
        "base": {"source": base.source, "digest": base.digest},
        "chatTemplateDigest": result["chatTemplateDigest"],
        "eosTokenIds": result["eosTokenIds"],
        "dtype": _dtype(config.section),
        "data": {uri: digest for uri, digest in report.digests.items() if uri != base.source},
        "seed": _seed(config.section),
        "metrics": result["metrics"],
    }
    model_card.write(config, kind, lineage)
    if mirror := config.section["export"]["mirror"]:
        storage.copy(f"{config.output_uri}/{kind}", mirror, config)
    paths = [kind, "training.jsonl", *([digests] if digests else [])]
    return storage.publish(config, kind, paths, lineage)


def _dtype(section: Mapping[str, Any]) -> str:
    if section["engine"] == "trl":
        return _DTYPES[section["training"]["precision"]]
    own = section["config"]
    return next(
        (dtype for name, dtype in _DTYPES.items() if own.get(name) or own.get(f"pure_{name}")), "float32"
    )


def _seed(section: Mapping[str, Any]) -> int:
    if section["engine"] == "trl":
        return int(section["training"]["seed"])
    return int(section["config"].get("seed", _THEIR_SEED))


def _report_again(artifact: dict[str, str], manifest: dict[str, Any], report: Report) -> None:
    """Repeat the success of a run that had published before it was started once more."""
    logger.info("%s is published already", artifact["uri"])
    for uri, digest in [(manifest["base"]["source"], manifest["base"]["digest"]), *manifest["data"].items()]:
        report.resolved(uri, digest)
    report.metrics(manifest["metrics"])
    report.succeed(artifact)


if __name__ == "__main__":
    report.run(main)
