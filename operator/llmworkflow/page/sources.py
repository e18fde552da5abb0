"""Everything that the page is made from, read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus

Rows = Sequence[JsonObject]


@dataclass(frozen=True)
class Sources:
    """A workflow, its status, and what lies in the artifacts that the status names, each by the artifact's uri."""

    workflow: LLMWorkflow
    status: LLMWorkflowStatus
    now: datetime
    accelerated: bool  # whether the jobs had the accelerators that the spec asks for
    manifests: Mapping[str, JsonObject] = field(default_factory=dict)
    curves: Mapping[str, Rows] = field(default_factory=dict)
    rows: Mapping[str, Rows] = field(default_factory=dict)
    base_rows: Mapping[str, Rows] = field(default_factory=dict)  # the base model's, made with the candidate's
    absent: Sequence[str] = ()  # what could not be read, and why
