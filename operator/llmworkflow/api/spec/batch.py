"""A stage that answers rows of data, and may score the answers."""

from typing import Annotated, Literal

from pydantic import Field

from llmworkflow.api.fields import (
    JsonObject,
    MapBy,
    Name,
    Operational,
    Positive,
    Quantity,
    Result,
    Rule,
    SpecModel,
    Text,
    at_most_one,
    exactly_one,
    set_for,
)
from llmworkflow.api.spec.common import Parallelism, Placement, SecretKeySource, StageRef
from llmworkflow.api.spec.data import BatchInput
from llmworkflow.api.spec.model import Prompt

MetricName = Annotated[str, Field(min_length=1, max_length=128)]


class Adapter(SpecModel):
    """One of several adapters."""

    rules = (exactly_one("stage", "uri"),)

    name: Result[Name]
    """Name by which rows or clients choose the adapter."""
    stage: Result[Name | None] = None
    """The fine-tuning stage that made it."""
    uri: Result[Text | None] = None
    """Where it lies, if no stage of this workflow made it."""


class Structured(SpecModel):
    """Restricts answers to a form."""

    rules = (exactly_one("jsonSchema", "regex", "choice", "grammar"),)

    json_schema: Result[JsonObject | None] = None
    """A JSON schema that every answer fulfils."""
    regex: Result[Text | None] = None
    """A regular expression that every answer matches."""
    choice: Result[Annotated[list[str], Field(min_length=1, max_length=256)] | None] = None
    """Texts of which every answer is one."""
    grammar: Result[Text | None] = None
    """A context-free grammar, in the engine's notation."""


class Sampling(SpecModel):
    """How tokens are chosen; what is unset comes from model.generationConfig."""

    temperature: Result[Annotated[float, Field(ge=0)]] = 0.0
    """Randomness; 0 always takes the likeliest token."""
    top_p: Result[Annotated[float, Field(gt=0, le=1)] | None] = None
    """Probability mass of the tokens that are sampled from."""
    top_k: Result[Annotated[int, Field(ge=-1)] | None] = None
    """Number of likeliest tokens that are sampled from; -1 for all."""
    max_tokens: Result[Positive] = 256
    """Longest answer, in tokens; a longer one is cut and counted as truncated."""
    min_tokens: Result[Annotated[int, Field(ge=0)] | None] = None
    """Shortest answer, in tokens."""
    seed: Result[int | None] = None
    """Seed of the sampling; random when unset."""
    stop: Result[Annotated[list[Text], Field(max_length=16)]] = []
    """Texts that end an answer, beside the model's own end of turn."""
    repetition_penalty: Result[Annotated[float, Field(gt=0)] | None] = None
    """Factor against tokens that occurred in prompt or answer; 1 for none."""
    presence_penalty: Result[Annotated[float, Field(ge=-2, le=2)] | None] = None
    """Penalty on tokens that occurred in the answer, once."""
    frequency_penalty: Result[Annotated[float, Field(ge=-2, le=2)] | None] = None
    """Penalty on tokens that occurred in the answer, for each time."""
    structured: Result[Structured | None] = None
    """A form that answers must have; free text when unset."""
    column: Result[Text | None] = None
    """Column with an object of a row's own sampling parameters, over these."""
    extra: Result[JsonObject] = {}
    """Further sampling parameters of the engine, by its own names."""


class Evaluate(SpecModel):
    """Scores the answers against the references of the prompt."""

    rules = (
        Rule(
            cel="!('regex' in self.metrics) || has(self.regex)",
            message="the metric regex needs a pattern: set regex, or remove it from metrics",
            holds=lambda evaluate: "regex" not in evaluate.metrics or evaluate.regex is not None,
        ),
    )

    # a stage has 32 metrics, and a batch also counts rows, errors and the like
    metrics: Result[Annotated[list[MetricName], Field(min_length=1, max_length=24)]]
    """Metrics to compute: exactMatch, tokenF1, jsonValid, regex, stopRate, or module:function for your own, which is
    called with answer, reference and row and returns a number."""
    min_rows: Operational[Positive | None] = None
    """Fewest rows on which a gate accepts a score; any number when unset."""
    max_error_rate: Operational[Annotated[float, Field(ge=0, le=1)] | None] = None
    """Largest part of failed rows with which a gate accepts a score; any when unset, and each counts as 0."""
    group_by: Result[Text | None] = None
    """Column whose equal values count as one draw in intervals; each row is one when unset."""
    on_overlap: Operational[Literal["fail", "continue"]] = "fail"
    """Whether prompts that the tuned model was trained on end the stage, or are counted only, as targets always are."""
    regex: Result[Text | None] = None
    """Pattern of the metric regex, in Python's syntax; it may match anywhere in an answer."""
    seed: Result[int] = 0
    """Seed of the bootstrap behind intervals and comparisons."""


class BatchOutput(SpecModel):
    """What is written of each row."""

    format: Result[Literal["parquet", "jsonl"]] = "parquet"
    """Format of the files."""
    keep: Result[Annotated[list[Text], Field(max_length=256)] | None] = None
    """Input columns that are kept beside the answer; all when unset."""
    uri: Operational[Text | None] = None
    """A further place that receives the rows: volume:, s3:// or gs://."""


class HttpTask(SpecModel):
    """An OpenAI-compatible endpoint that answers the rows."""

    url: Result[Text]
    """Address of the endpoint, up to and with /v1."""
    model: Result[Text | None] = None
    """Model name of the requests; the first that the endpoint lists when unset."""
    requests_per_second: Operational[Annotated[float, Field(gt=0)] | None] = None
    """Highest rate of requests; unlimited when unset."""
    max_retries: Operational[Annotated[int, Field(ge=0, le=100)]] = 3
    """Retries of a failed request, with growing pauses."""
    api_key_from: Operational[SecretKeySource | None] = None
    """The key of the endpoint; none when unset."""
    headers: Operational[dict[str, str]] = {}
    """Further headers of the requests."""


class Through(StageRef):
    """An endpoint that an earlier stage serves."""

    model: Result[Text | None] = None
    """The name under which it is asked: a modelId, or modelId:adapter; the first modelId when unset."""


class Multimodal(SpecModel):
    """Images, video or audio beside the text."""

    kind: Result[Literal["image", "video", "audio"]] = "image"
    """What a row holds."""
    column: Result[Text]
    """Column with the address of a file (volume:, s3://, gs://, https://, data:) or its bytes."""


class StepResources(SpecModel):
    """Resources of one step of the pipeline."""

    concurrency: Operational[Positive | None] = None
    """Processes of the step; Ray Data's choice when unset."""
    batch_size: Operational[Positive | None] = None
    """Rows that a process takes at once; batch.batchSize when unset."""
    cpu: Operational[Quantity | None] = None
    """CPUs of a process; 1 when unset."""
    memory: Operational[Quantity | None] = None
    """Memory of a process; not reserved when unset."""


class Pipeline(SpecModel):
    """The steps around the engine, done by the job's head unless something is set for them here."""

    preprocess: Operational[StepResources] = StepResources()
    """From rows to token ids."""
    postprocess: Operational[StepResources] = StepResources()
    """From token ids to texts and columns."""
    max_pending_requests: Operational[Positive | None] = None
    """Requests that may wait in the engine; the engine's default when unset."""
    max_concurrent_batches: Operational[Positive | None] = None
    """Batches in flight for each engine; Ray's default when unset."""


class Batch(SpecModel):
    """Answers rows of data with the base model, or with what an earlier stage made."""

    rules = (
        at_most_one("model", "adapters"),
        set_for("http", "task", "http"),
        Rule(
            cel="has(self.adapters) == has(self.adapterColumn)",
            message="adapters and adapterColumn belong together: the column names the adapter of each row",
            holds=lambda batch: (batch.adapters is None) == (batch.adapter_column is None),
        ),
        set_for("through", "task", "serve"),
    )

    task: Result[Literal["generate", "embed", "classify", "http", "serve"]] = "generate"
    """What is done with a row: text, a vector or a class by an engine of the stage's own, or a request to an
    endpoint elsewhere (http) or to an earlier serving stage (serve)."""
    engine: Result[Literal["vllm", "sglang"]] = "vllm"
    """The inference engine of task generate; ray.pip or ray.image has to bring sglang."""
    model: Result[StageRef | None] = None
    """The stage whose adapter or model answers; the base model when unset."""
    adapters: Result[Annotated[list[Adapter], Field(min_length=1, max_length=64), MapBy("name")] | None] = (
        None
    )
    """Several adapters over the base model, of which each row names one."""
    adapter_column: Result[Text | None] = None
    """Column with the name of the row's adapter; empty there for the base model."""
    input: Result[BatchInput]
    """Rows to answer."""
    prompt: Result[Prompt | None] = None
    """What this stage asks of a row, as where it reads the answers of an earlier one; spec.prompt when unset."""
    sampling: Result[Sampling] = Sampling()
    """How tokens are chosen."""
    evaluate: Result[Evaluate | None] = None
    """Scores of the answers; none when unset."""
    output: Result[BatchOutput] = BatchOutput()
    """What is written of each row."""
    postprocess: Result[Text | None] = None
    """A sandboxed Jinja2 template over `row` and `text` whose result becomes the answer; the text when unset."""
    http: Result[HttpTask | None] = None
    """The endpoint of task http."""
    through: Result[Through | None] = None
    """The serving stage of task serve, and the model of it that answers."""
    turns: Result[Annotated[list[Text], Field(max_length=16)]] = []
    """Further user turns, each answered in its place (Jinja2 over `row`)."""
    multimodal: Result[Multimodal | None] = None
    """Images of a row for the batch's own engine; images, video or audio for an endpoint (tasks http and serve); text
    only when unset."""
    on_row_error: Operational[Literal["fail", "continue"]] = "continue"
    """Whether a failed row ends the stage, or is kept with its error and counted."""
    retry_failed_rows: Operational[Annotated[int, Field(ge=0, le=10)]] = 0
    """Further tries of failed rows before they count as failed."""
    checkpoint: Operational[bool] = False
    """Keep finished rows, so that a later attempt answers only the others."""
    concurrency: Operational[Positive] = 1
    """Engines that share the rows."""
    batch_size: Operational[Positive] = 256
    """Rows that an engine takes at once; of an endpoint, the requests in flight for each of `concurrency`."""
    engine_kwargs: Result[JsonObject] = {}
    """The engine's own options, such as max_model_len."""
    parallelism: Result[Parallelism] = Parallelism()
    """How one engine is spread over accelerators."""
    placement: Operational[Placement] = Placement()
    """Where the accelerators of one engine lie."""
    pipeline: Operational[Pipeline] = Pipeline()
    """The steps around the engine."""
