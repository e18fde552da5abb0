"""The base model, the prompt and the storage that all stages share."""

from typing import Literal

from llmworkflow.api.fields import (
    JsonObject,
    Operational,
    Positive,
    Quantity,
    Result,
    SpecModel,
    Text,
    at_most_one,
    exactly_one,
    set_for,
)
from llmworkflow.api.spec.addresses import BUCKET_SCHEMES, MODEL_SCHEMES, address_rule
from llmworkflow.api.spec.common import SecretKeySource, SecretSource


class ModelCache(SpecModel):
    """A volume that keeps downloaded models between pods."""

    claim_name: Operational[Text]
    """Name of the PersistentVolumeClaim."""
    path: Operational[Text] = "models"
    """Folder on the volume."""


class Model(SpecModel):
    """The base model."""

    cel_rules = (address_rule("source", MODEL_SCHEMES),)

    source: Result[Text]
    """Where the model comes from: hf://, s3://, gs://, volume: or file://."""
    revision: Result[Text | None] = None
    """Branch, tag or commit of a hub model, resolved to a commit by the first job and then pinned; the default
    branch when unset."""
    token_from: Operational[SecretKeySource | None] = None
    """Token of the hub, for gated models; none when unset."""
    trust_remote_code: Result[bool] = False
    """Run code that the model's own repository brings."""
    generation_config: Result[Literal["model", "vllm"]] = "model"
    """Whose sampling defaults fill what a request leaves unset, in batch and in serving alike: the model's or
    vLLM's."""
    load_format: Operational[Text | None] = None
    """How the engine loads weights, such as runai_streamer; the engine's own choice when unset. It reads a folder: that
    of a volume, or the copy on the node of what a bucket or the hub has."""
    cache: Operational[ModelCache | None] = None
    """Volume that keeps the downloaded model; each pod downloads it when unset."""


class PromptColumns(SpecModel):
    """Names of the columns that hold the parts of a row."""

    instruction: Result[Text] = "instruction"
    """alpaca: the task."""
    input: Result[Text] = "input"
    """alpaca: what the task is about; joined to the instruction in one user turn."""
    output: Result[Text] = "output"
    """alpaca: the response."""
    system: Result[Text | None] = None
    """alpaca, sharegpt, messages: the system message; none when unset."""
    history: Result[Text | None] = None
    """alpaca: earlier turns, as a list of pairs of question and answer; none when unset."""
    messages: Result[Text] = "messages"
    """messages, sharegpt: the list of turns."""
    chosen: Result[Text] = "chosen"
    """Objective dpo: the better response; a text, a message, or a conversation that ends in it."""
    rejected: Result[Text] = "rejected"
    """Objective dpo: the worse response."""
    label: Result[Text] = "label"
    """Objective kto: true where the response is a good one, false where it is a bad one."""
    text: Result[Text] = "text"
    """Objective pretrain: the text."""


class CustomPrompt(SpecModel):
    """Turns written as sandboxed Jinja2 templates over `row`."""

    system: Result[str | None] = None
    """Template of the system message; none when unset."""
    user: Result[Text]
    """Template of the user's message."""
    response: Result[str | None] = None
    """Template of the response that is trained and compared with; needed by both."""


class Prompt(SpecModel):
    """From a data row to messages: once, for training, batch and evaluation."""

    rules = (set_for("custom", "format", "custom"),)

    format: Result[Literal["alpaca", "sharegpt", "messages", "custom"]] = "alpaca"
    """Shape of a row."""
    columns: Result[PromptColumns] = PromptColumns()
    """Names of the columns that hold the parts of a row."""
    custom: Result[CustomPrompt | None] = None
    """Templates of format custom."""
    chat_template: Result[Text | None] = None
    """A chat template (Jinja2) in place of the model's own."""
    chat_template_kwargs: Result[JsonObject] = {}
    """Options of the chat template, such as enable_thinking."""
    assistant_prefill: Result[str | None] = None
    """Beginning of every answer, such as `{` or `</think>`: it ends the prompt, and what is trained, scored and
    returned is what follows it. Responses in the data may begin with it. None when unset."""


class Volume(SpecModel):
    """A volume claim that the pods of all stages can mount."""

    claim_name: Operational[Text]
    """Name of the PersistentVolumeClaim; with pods on several nodes it must be ReadWriteMany."""


class Retention(SpecModel):
    """How long artifacts are kept."""

    keep_revisions: Operational[Positive] = 3
    """Finished revisions kept of each stage on one machine, beside what serves or served last; a cluster keeps all."""
    on_delete: Operational[Literal["Retain", "Delete"]] = "Retain"
    """What happens to the artifacts when the workflow is deleted."""


class Storage(SpecModel):
    """Where artifacts, checkpoints and results lie."""

    rules = (exactly_one("volume", "uri"), at_most_one("volume", "credentialsFrom"))
    cel_rules = (address_rule("uri", BUCKET_SCHEMES),)

    volume: Operational[Volume | None] = None
    """A volume that all pods share."""
    uri: Operational[Text | None] = None
    """A bucket and folder: s3:// or gs://."""
    credentials_from: Operational[SecretSource | None] = None
    """Credentials of the bucket, as environment variables; the pods' own identity when unset."""
    endpoint: Operational[Text | None] = None
    """Address of an S3-compatible server; AWS when unset."""
    path: Operational[Text | None] = None
    """Folder of this workflow in the storage; <namespace>/<name> when unset."""
    adopt: Operational[bool] = False
    """Take over a folder that another workflow wrote to, instead of failing with PathInUse."""
    cache_size: Operational[Quantity | None] = None
    """Space on each node for copies from a bucket; unlimited when unset."""
    retention: Operational[Retention] = Retention()
    """How long artifacts are kept."""
