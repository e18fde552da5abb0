"""The resource itself."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmworkflow.api.fields import CelRule, MapBy, Operational, Result, SpecModel, Text
from llmworkflow.api.spec.common import RaySettings
from llmworkflow.api.spec.cross_rules import STAGE_RULES
from llmworkflow.api.spec.model import Model, Prompt, Storage
from llmworkflow.api.spec.stage import Stage

GROUP = "llmworkflow.io"
VERSION = "v1alpha1"
KIND = "LLMWorkflow"
PLURAL = "llmworkflows"
API_VERSION = f"{GROUP}/{VERSION}"
MAX_STAGES = 32
MAX_NAME = 63  # of a label, in which children carry the name


class Schedule(SpecModel):
    """Runs all jobs again at set times, as `retry` does; with `inputs: recheck` on the data as they are then.

    What serves goes on serving until something better takes its place. A time that comes while a run is under way, or
    waits for approval, is skipped. Times that pass while the workflow is suspended, or while nothing looks after it,
    are made up for by one run.
    """

    cron: Operational[Text]
    """Times, as in a CronJob: minute, hour, day of month, month, day of week."""
    time_zone: Operational[Text | None] = None
    """Time zone of the times, such as Europe/Berlin; UTC when unset."""


class WorkflowSpec(SpecModel):
    """What a workflow does."""

    cel_rules = STAGE_RULES

    model: Result[Model]
    """The base model that stages tune, run and serve."""
    prompt: Result[Prompt] = Prompt()
    """From a data row to messages, the same in training, batch and evaluation."""
    storage: Operational[Storage]
    """Where artifacts, checkpoints and results lie."""
    ray: Result[RaySettings] = RaySettings()
    """How the Ray clusters of all stages are made."""
    stages: Result[Annotated[list[Stage], Field(min_length=1, max_length=MAX_STAGES), MapBy("name")]]
    """The steps, in order."""
    suspend: Operational[bool] = False
    """Stop what runs and start nothing, without losing what is done."""
    inputs: Operational[Literal["pinned", "recheck"]] = "pinned"
    """Whether a later run keeps the data and model that were resolved first, or looks for changed ones."""
    schedule: Operational[Schedule | None] = None
    """Times at which the workflow runs again; it runs when its spec changes only, when unset."""


class Metadata(BaseModel):
    """The metadata of the resource, of which only these fields matter here."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}


class LLMWorkflow(SpecModel):
    """A language model's way from fine-tuning to a served endpoint."""

    cel_rules = (
        CelRule(
            cel=f"size(self.metadata.name) <= {MAX_NAME}",
            message=f"metadata.name has at most {MAX_NAME} characters",
        ),
    )

    api_version: Literal["llmworkflow.io/v1alpha1"] = "llmworkflow.io/v1alpha1"
    """Version of the resource."""
    kind: Literal["LLMWorkflow"] = "LLMWorkflow"
    """Kind of the resource."""
    metadata: Metadata
    """Name, namespace and the like."""
    spec: WorkflowSpec
    """What the workflow does."""
    status: dict[str, Any] | None = None
    """What came of it; written by the operator."""
