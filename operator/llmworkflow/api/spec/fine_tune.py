"""A stage that fine-tunes the base model."""

from typing import Annotated, Literal

from pydantic import Field

from llmworkflow.api.fields import (
    CelRule,
    JsonObject,
    Operational,
    Positive,
    Result,
    Rule,
    SpecModel,
    Text,
    exactly_one,
    set_for,
)
from llmworkflow.api.spec.common import PlacementStrategy, StageRef
from llmworkflow.api.spec.data import TrainingData

Rate = Annotated[float, Field(ge=0)]


class Lora(SpecModel):
    """Low-rank adapters."""

    rank: Result[Annotated[int, Field(ge=1, le=512)]] = 8
    """Rank of the adapter."""
    alpha: Result[Annotated[float, Field(gt=0)]] = 16
    """Scale of the adapter; its effect is alpha / rank."""
    dropout: Result[Annotated[float, Field(ge=0, lt=1)]] = 0.0
    """Probability of dropping an input of the adapter while training."""
    target_modules: Result[Text | Annotated[list[Text], Field(min_length=1, max_length=64)]] = "all"
    """Layers that are adapted: `all` for every linear layer, or a list of names."""
    use_dora: Result[bool] = False
    """Weight-decomposed adapters; they must be merged (export.merge) to be used by another stage."""
    modules_to_save: Result[Annotated[list[Text], Field(max_length=64)]] = []
    """Layers that are trained whole; such adapters must be merged (export.merge) to be used by another stage."""


class Distributed(SpecModel):
    """How a model that does not fit one accelerator is spread over several."""

    rules = (exactly_one("fsdp", "deepspeed"),)

    fsdp: Result[JsonObject | None] = None
    """Options of PyTorch's fully sharded data parallelism, as in Hugging Face's fsdp_config."""
    deepspeed: Result[JsonObject | None] = None
    """A DeepSpeed configuration."""


class Preference(SpecModel):
    """Preference tuning (objectives dpo and kto)."""

    beta: Result[Annotated[float, Field(gt=0)]] = 0.1
    """How close the tuned model stays to the base model; larger is closer."""
    loss_type: Result[Text | None] = None
    """The engine's name of the loss; sigmoid for dpo and kto for kto when unset."""


class Training(SpecModel):
    """The training arguments of Hugging Face, in camel case."""

    num_train_epochs: Result[Annotated[float, Field(gt=0)]] = 3.0
    """Passes over the training rows."""
    max_steps: Result[Positive | None] = None
    """Optimizer steps in place of passes; numTrainEpochs counts when unset."""
    learning_rate: Result[Rate] = 1e-4
    """Highest learning rate."""
    lr_scheduler_type: Result[Text] = "cosine"
    """How the learning rate falls: Hugging Face's name of the schedule, such as linear or cosine."""
    warmup_ratio: Result[Annotated[float, Field(ge=0, lt=1)]] = 0.1
    """Part of the steps in which the learning rate rises."""
    weight_decay: Result[Rate] = 0.0
    """Weight decay of AdamW."""
    max_grad_norm: Result[Rate] = 1.0
    """Norm to which gradients are cut; 0 leaves them."""
    per_device_train_batch_size: Result[Positive] = 1
    """Rows that a worker computes at once; more use more memory."""
    global_batch_size: Result[Positive] = 32
    """Rows of an optimizer step over all workers, held by accumulating gradients; of packed rows, sequences of
    maxLength."""
    max_samples: Result[Positive | None] = None
    """Number of training rows taken, chosen by the seed; all when unset."""
    max_length: Result[Positive] = 2048
    """Longest sequence, in tokens; longer ones are cut."""
    packing: Result[bool] = False
    """Put several rows into one sequence, each blind to the others, so that no computation goes into padding."""
    precision: Result[Literal["bf16", "fp16", "fp32"]] = "bf16"
    """Number format of the computation."""
    loss_on: Result[Literal["completion", "all"]] = "completion"
    """Tokens that are learned: those of the response, or all."""
    gradient_checkpointing: Operational[bool] = False
    """Compute activations twice instead of storing them: less memory, about a third more time."""
    eval_steps: Result[Positive] = 50
    """Steps between evaluations on the validation rows."""
    logging_steps: Operational[Positive] = 10
    """Steps between reports of loss and progress."""
    save_steps: Operational[Positive] = 50
    """Steps between checkpoints, from which a later attempt resumes."""
    keep_checkpoints: Operational[Positive] = 2
    """Number of newest checkpoints that are kept."""
    load_best: Result[bool] = False
    """Publish the checkpoint with the lowest validation loss instead of the last."""
    seed: Result[int] = 0
    """Seed of the initial adapter and of the order of the rows."""
    report_to: Operational[
        Annotated[list[Literal["tensorboard", "mlflow", "wandb"]], Field(max_length=3)]
    ] = []
    """Trackers that receive the curves, beside the workflow's own; their settings come with ray.env."""
    distributed: Result[Distributed | None] = None
    """Sharding of the model over the workers; each holds all of it when unset."""
    extra: Result[JsonObject] = {}
    """Further arguments of the engine's own configuration class, by its own names; those that no field here sets, and
    per_device_eval_batch_size."""


class Workers(SpecModel):
    """Processes that train together."""

    rules = (
        Rule(
            cel="has(self.min) == has(self.max) && (!has(self.min) || self.min <= self.max)",
            message="an elastic run needs both min and max, and min <= max",
            holds=lambda workers: (
                (workers.min is None) == (workers.max is None)
                and (workers.min is None or workers.min <= workers.max)
            ),
        ),
    )

    count: Operational[Positive] = 1
    """Workers of a run of fixed size."""
    min: Operational[Positive | None] = None
    """Fewest workers of an elastic run, which has as many as there is room for and globalBatchSize can be shared by;
    the run has `count` workers when unset."""
    max: Operational[Positive | None] = None
    """Most workers of an elastic run; the run has `count` workers when unset."""
    placement_strategy: Operational[PlacementStrategy] = "PACK"
    """Ray's placement strategy for the workers."""
    cpu: Operational[Annotated[float, Field(gt=0)] | None] = None
    """CPUs of each worker; 1 when unset."""
    resources: Operational[dict[str, float]] = {}
    """Ray resources of each worker, over the derived ones."""


class Export(SpecModel):
    """What else is published."""

    merge: Result[bool] = False
    """Publish the adapter merged into the base model, as a whole model."""
    mirror: Operational[Text | None] = None
    """A bucket and folder that receive a copy; none when unset."""


class FineTune(SpecModel):
    """Fine-tunes the base model, or what an earlier stage made of it, and publishes an adapter or a model."""

    rules = (
        set_for("config", "engine", "llamaFactory"),
        Rule(
            cel="has(self.data) || has(self.config)",
            message="data is needed: name the training rows under data.train",
            holds=lambda tune: tune.data is not None or tune.config is not None,
        ),
    )
    cel_rules = (
        CelRule(
            cel=(
                "self.engine != 'trl' || has(self.workers.min) || self.training.globalBatchSize"
                " % (self.training.perDeviceTrainBatchSize * self.workers.count) == 0"
            ),
            message="training.globalBatchSize is a multiple of perDeviceTrainBatchSize times workers.count",
        ),
        CelRule(
            cel=(
                "!self.training.loadBest || !has(self.data) || has(self.data.validation)"
                " || has(self.data.split)"
            ),
            message="training.loadBest needs data.validation or data.split",
        ),
    )

    engine: Result[Literal["trl", "llamaFactory"]] = "trl"
    """The library that trains."""
    method: Result[Literal["lora", "qlora", "full"]] = "lora"
    """What is trained: an adapter, an adapter over quantised weights, or all weights."""
    objective: Result[Literal["sft", "dpo", "kto", "pretrain"]] = "sft"
    """What is learned: responses, preferences between them (dpo, kto), or plain text."""
    model: Result[StageRef | None] = None
    """The whole model of an earlier stage to start from, where this stage makes one too; spec.model's when unset."""
    data: Result[TrainingData | None] = None
    """Rows to train and validate on; only llamaFactory can do without, naming its data in config."""
    lora: Result[Lora] = Lora()
    """The adapter, for methods lora and qlora."""
    training: Result[Training] = Training()
    """The training arguments."""
    preference: Result[Preference] = Preference()
    """Preference tuning, for objectives dpo and kto."""
    workers: Operational[Workers] = Workers()
    """Processes that train together."""
    export: Result[Export] = Export()
    """What is published beside or instead of the adapter."""
    config: Result[JsonObject | None] = None
    """LLaMA-Factory's own YAML, passed through; for engine llamaFactory only."""
