"""What happened to a workflow and to all that it runs, as the API server keeps it: for an hour, usually."""

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.client.api import Api
from llmworkflow.kube.resources import EVENT, LLM_WORKFLOW


def of_workflow(api: Api, namespace: str, name: str, status: LLMWorkflowStatus) -> list[JsonObject]:
    """The Events of a workflow, its children and their pods, the latest last."""
    children = tuple(stage.child.name for stage in status.stages if stage.child)
    found = [event for event in api.items(EVENT, namespace) if _is_about(event, name, children)]
    return sorted(found, key=lambda event: (time_of(event) or "", event["metadata"]["name"]))


def time_of(event: JsonObject) -> str | None:
    """When it happened last, or began, where a series is written down in a newer way."""
    told: str | None = (
        event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    )
    return told


def _is_about(event: JsonObject, name: str, children: tuple[str, ...]) -> bool:
    """Clusters and pods of a child begin with its name."""
    about = event["involvedObject"]
    if about.get("kind") == LLM_WORKFLOW.kind:
        return bool(about.get("name") == name)
    return any(
        about.get("name", "") == child or about.get("name", "").startswith(f"{child}-") for child in children
    )
