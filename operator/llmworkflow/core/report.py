"""The report that a job writes, parsed. The job's side is `llmworkflow_jobs.report`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError
from pydantic.alias_generators import to_camel

from llmworkflow.api.status import Artifact, Metric, Progress

SCHEMA_VERSION = 1


class JobError(BaseModel):
    """Why a job failed."""

    model_config = ConfigDict(frozen=True)

    reason: str
    message: str
    retryable: bool = False
    artifact: str | None = None
    """Address of what an earlier stage made and is gone."""


class ReportedVerification(BaseModel):
    """The endpoint's verdict on itself."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    rows: int
    agreement: FiniteFloat
    required: FiniteFloat
    passed: bool
    message: str = ""


class JobReport(BaseModel):
    """Progress and results of one attempt of one revision of one stage."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    schema_version: Literal[1]
    workflow: str
    stage: str
    revision: str
    attempt: int
    state: Literal["Running", "Succeeded", "Failed"]
    updated_at: str = ""
    progress: Progress | None = None
    metrics: dict[str, Metric] = {}
    artifact: Artifact | None = None
    resolved: dict[str, str] = {}
    verification: ReportedVerification | None = None
    error: JobError | None = None

    def is_of(self, workflow: str, stage: str, revision: str, attempt: int) -> bool:
        """Whether this speaks of that attempt; a report of any other is not to be believed."""
        return (self.workflow, self.stage, self.revision, self.attempt) == (
            workflow,
            stage,
            revision,
            attempt,
        )


def parse_report(content: dict[str, Any]) -> JobReport | None:
    """The report, or None where it is not one of this schema."""
    try:
        return JobReport.model_validate(content)
    except ValidationError:
        return None
