"""A stage: one kind of work, and when, how often and under which conditions it runs."""

from typing import Annotated, Literal

from pydantic import Field

from llmworkflow.api.fields import CelRule, Name, Operational, Result, SpecModel, Text, exactly_one
from llmworkflow.api.spec.batch import Batch, MetricName
from llmworkflow.api.spec.common import RaySettings
from llmworkflow.api.spec.fine_tune import FineTune
from llmworkflow.api.spec.serve import Serve

Kind = Literal["fineTune", "batch", "serve", "prefetch"]


class Gate(SpecModel):
    """A bound that a metric must hold before anything that depends on the stage goes on."""

    rules = (exactly_one("min", "max", "betterThan"),)

    metric: Operational[MetricName]
    """A metric that the stage measures: one of batch.evaluate.metrics, or trainLoss and the like of a fineTune."""
    min: Operational[float | None] = None
    """Smallest value that passes."""
    max: Operational[float | None] = None
    """Largest value that passes."""
    better_than: Operational[Name | None] = None
    """What the stage's rows must beat on the same rows: `serving` for what serves now (the base model while nothing
    does), `base` for the base model, or an earlier batch."""
    by: Operational[float] = 0.0
    """Difference to what betterThan names that must be exceeded."""
    confidence: Operational[Annotated[float, Field(gt=0.5, lt=1)]] = 0.95
    """Confidence of the interval around the difference, whose lower end must exceed `by`."""


class Approval(SpecModel):
    """A person's consent after the gates."""

    required: Operational[bool] = False
    """Wait for a person's `approve` before anything that depends on the stage goes on."""


class Prefetch(SpecModel):
    """Brings the base model to the cache or a bucket on CPUs, before a GPU is taken."""

    mirror: Result[Text | None] = None
    """A bucket and folder that receive a copy; the model is brought to the cache only, when unset."""


class Stage(SpecModel):
    """One step of the workflow."""

    rules = (exactly_one("fineTune", "batch", "serve", "prefetch"),)
    cel_rules = (
        CelRule(
            cel="!has(self.gates) || size(self.gates) == 0 || has(self.batch) || has(self.fineTune)",
            message="gates belong to stages that measure something: batch and fineTune",
        ),
        CelRule(
            cel=(
                "!has(self.gates) || !has(self.batch) || self.gates.all(g, has(self.batch.evaluate)"
                " && g.metric in self.batch.evaluate.metrics)"
            ),
            message="a batch's gates have metrics of batch.evaluate.metrics",
        ),
        CelRule(
            cel="!has(self.gates) || has(self.batch) || self.gates.all(g, !has(g.betterThan))",
            message="betterThan compares the rows of a batch",
        ),
    )

    name: Result[Name]
    """Name of the stage, unique in the workflow."""
    depends_on: Operational[Annotated[list[Name], Field(max_length=32)] | None] = None
    """Earlier stages that must have succeeded first; the stage before when unset, none when []."""
    fine_tune: Result[FineTune | None] = None
    """Fine-tunes the base model."""
    batch: Result[Batch | None] = None
    """Answers rows of data, and may score the answers."""
    serve: Result[Serve | None] = None
    """Serves models behind an OpenAI endpoint."""
    prefetch: Result[Prefetch | None] = None
    """Brings the base model to the cache or a bucket."""
    gates: Operational[Annotated[list[Gate], Field(max_length=32)]] = []
    """Bounds on the stage's metrics; all must hold before anything that depends on the stage goes on."""
    approval: Operational[Approval] = Approval()
    """A person's consent, asked for after the gates have passed."""
    retries: Operational[Annotated[int, Field(ge=0, le=100)]] = 2
    """Further attempts after a failure that may pass by itself."""
    timeout_seconds: Operational[Annotated[int, Field(ge=1)] | None] = None
    """Longest time of an attempt in seconds, from when it runs; unlimited when unset."""
    pending_timeout_seconds: Operational[Annotated[int, Field(ge=1)] | None] = None
    """Longest time in seconds that an attempt may wait for its pods; unlimited when unset."""
    ray: Result[RaySettings | None] = None
    """How the Ray cluster of this stage is made, over spec.ray."""

    @property
    def kind(self) -> Kind:
        """Which kind of work the stage does."""
        if self.fine_tune:
            return "fineTune"
        if self.batch:
            return "batch"
        return "serve" if self.serve else "prefetch"

    @property
    def work(self) -> FineTune | Batch | Serve | Prefetch:
        """The section of the stage's kind."""
        sections = (self.fine_tune, self.batch, self.serve, self.prefetch)
        return next(section for section in sections if section is not None)
