"""Code and configurations that no child mounts any more."""

from collections.abc import Collection, Iterable

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import LABEL_MANAGED_BY, LABEL_WORKFLOW, MANAGER
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube.children import ChildRecord
from llmworkflow.kube.client import METADATA, Api
from llmworkflow.kube.resources import CONFIG_MAP
from llmworkflow.render.stage_context import report_name


def settled(children: Iterable[ChildRecord]) -> bool:
    """Whether no child goes, and no endpoint has a predecessor whose pods still mount what it no longer does."""
    return not any(
        child.terminating or (child.kind == "RayService" and child.look.phase is not ChildPhase.READY)
        for child in children
    )


async def sweep(api: Api, workflow: LLMWorkflow, children: Collection[ChildRecord]) -> None:
    """Delete the ConfigMaps of a workflow that none of its children mounts, and no job reports to."""
    metadata = workflow.metadata
    reports = (report_name(workflow, stage.name) for stage in workflow.spec.stages if not stage.serve)
    needed = {*reports, *(name for child in children for name in child.mounts)}
    selector = f"{LABEL_WORKFLOW}={metadata.name},{LABEL_MANAGED_BY}={MANAGER}"
    accept = METADATA.format("List")
    found = await api.list(CONFIG_MAP, metadata.namespace, accept=accept, labelSelector=selector)
    for item in found["items"] or ():  # null where there is none, as the API server lists metadata
        described = item["metadata"]
        if described["name"] not in needed and _owned(described, metadata.uid):
            await api.delete(CONFIG_MAP, metadata.namespace, described["name"], described["uid"])


def _owned(metadata: JsonObject, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in metadata.get("ownerReferences") or [])
