"""Everything that the manifests of one stage are made of."""

from dataclasses import dataclass
from functools import cached_property

from llmworkflow.api import names
from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.common import RaySettings
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import API_VERSION, KIND, LLMWorkflow
from llmworkflow.core.actions import Work
from llmworkflow.core.revision import digest
from llmworkflow.render.ray_settings import effective_ray, stage_named
from llmworkflow.render.settings import Settings

ACCOUNT, CLOSED = "head", "closed"
"""Purposes of objects beside the children, in their names: the heads' account with its rights, and their network."""


@dataclass(frozen=True)
class StageContext:
    """One stage's work, and the objects around it that its pods refer to."""

    workflow: LLMWorkflow
    work: Work
    settings: Settings
    code: str
    """ConfigMap of the job code."""
    config: str
    """What its pods are told, as JSON."""

    @cached_property
    def stage(self) -> Stage:
        """The stage."""
        return stage_named(self.workflow, self.work.stage)

    @cached_property
    def ray(self) -> RaySettings:
        """Its Ray settings, with all defaults."""
        return effective_ray(self.workflow, self.stage, self.settings)

    @property
    def selector(self) -> dict[str, str]:
        """Labels of the stage's pods; they never change, or a promotion would restart the pods."""
        return {**workflow_labels(self.workflow), names.LABEL_STAGE: self.stage.name}

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the stage's child."""
        queue = {names.LABEL_QUEUE: self.ray.queue} if self.ray.queue else {}
        return {
            **self.selector,
            names.LABEL_REVISION: self.work.revision,
            names.LABEL_ATTEMPT: str(self.work.attempt),
            **queue,
        }


def companion_name(workflow: LLMWorkflow, purpose: str) -> str:
    """Name of an object beside the children."""
    return name_beside(workflow.metadata.name, workflow.metadata.uid, purpose)


def name_beside(workflow: str, uid: str, purpose: str) -> str:
    """The same, by name and uid; the digest tells it from those of others, whatever their names."""
    return f"{workflow}-{purpose}-{digest(uid)[:8]}"


def account_name(workflow: LLMWorkflow) -> str:
    """Name of the service account of the heads, and of what gives it leave."""
    return companion_name(workflow, ACCOUNT)


def report_name(workflow: LLMWorkflow, stage: str) -> str:
    """Name of the ConfigMap that the jobs of a stage report to."""
    return companion_name(workflow, report_purpose(stage))


def report_purpose(stage: str) -> str:
    """What it is there for, as its name says."""
    return f"{stage}-report"


def endpoint_purpose(stage: str) -> str:
    """The same of the policy that lets clients in."""
    return f"{stage}-endpoint"


def workflow_labels(workflow: LLMWorkflow) -> dict[str, str]:
    """Labels of everything of a workflow."""
    return {names.LABEL_WORKFLOW: workflow.metadata.name, names.LABEL_MANAGED_BY: names.MANAGER}


def metadata(workflow: LLMWorkflow, name: str, labels: dict[str, str]) -> JsonObject:
    """Metadata of an object that goes when the workflow goes; one that is no object of a cluster owns nothing."""
    named = {"name": name, "namespace": workflow.metadata.namespace, "labels": labels}
    if not workflow.metadata.uid:
        return named
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": workflow.metadata.name,
        "uid": workflow.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return named | {"ownerReferences": [owner]}
