"""What answers the rows of a batch: a model that it loads, or an endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmworkflow_jobs import endpoint, inference_model, media, model, pooling, sampling
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.inference_model import InferenceModel
from llmworkflow_jobs.model import BaseModel
from llmworkflow_jobs.prompt import encoder
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.rows import Encode


@dataclass(frozen=True)
class Answering:
    """The model and the base that it was made from, neither where an endpoint answers.

    `encode` makes token ids of messages, none for an endpoint; `defaults` are sampling parameters of the model's own.
    """

    base: BaseModel | None
    model: InferenceModel | None
    encode: Encode
    defaults: dict[str, Any] = field(default_factory=dict)


def choose(config: JobConfig, report: Report) -> Answering:
    """What the batch's fields name. Raises JobError if it is not there, or cannot be run."""
    if config.section["task"] in endpoint.TASKS:
        return Answering(None, None, lambda messages: [])
    base = model.resolve(config, report)
    chosen = inference_model.choose(config, base)
    if config.section["task"] in pooling.TASKS:
        return Answering(base, chosen, pooling.encoder(model.plain_tokenizer(config, chosen.folder)))
    encode = encoder(model.load_tokenizer(config, chosen.folder), config.prompt)
    if config.section["multimodal"]:
        encode = media.shown(encode)
    return Answering(base, chosen, encode, sampling.model_defaults(config.model, chosen.folder))
