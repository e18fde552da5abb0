"""Brings a workflow on a cluster to what a file says."""

from dataclasses import dataclass

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow, Metadata
from llmworkflow.client.cluster import Cluster
from llmworkflow.client.errors import ClientError, RefusedError
from llmworkflow.kube.resources import LLM_WORKFLOW
from llmworkflow.local.edits import merged

TRIES = 5  # whoever else writes to the workflow at that moment is done by then
CONFLICT, NOT_FOUND = 409, 404


@dataclass(frozen=True)
class Applied:
    """What the API server has now, and what that took."""

    resource: JsonObject
    done: str  # kubectl's word: created, configured, unchanged


def apply(cluster: Cluster, wanted: LLMWorkflow, dry_run: bool = False) -> Applied:
    """Create the workflow, or replace its spec; annotations and labels of others stay, and so does a suspension.

    Raises:
        ClientError: the API server refuses it, or it is being deleted.
    """
    namespace, name = namespace_of(cluster, wanted), wanted.metadata.name
    query = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
    path = LLM_WORKFLOW.path(namespace, name)
    for left in reversed(range(TRIES)):
        live = cluster.api.get(path)
        try:
            if live is None:
                created = _created(wanted, namespace)
                return Applied(cluster.api.create(LLM_WORKFLOW.path(namespace), created, **query), "created")
            _refuse_deleted(live)
            replaced = cluster.api.replace(path, replacement(live, wanted), **query)
        except RefusedError as error:
            overtaken = (CONFLICT,) if live is None else (CONFLICT, NOT_FOUND)
            if not left or error.status not in overtaken:
                raise
        else:
            versions = [item["metadata"]["resourceVersion"] for item in (live, replaced)]
            return Applied(replaced, "unchanged" if versions[0] == versions[1] else "configured")
    raise AssertionError("the last try returns or raises")


def namespace_of(cluster: Cluster, wanted: LLMWorkflow) -> str:
    """The namespace that a file is for.

    Raises:
        ClientError: it names another one than the person did.
    """
    if "namespace" not in wanted.metadata.model_fields_set:
        return cluster.namespace
    written = wanted.metadata.namespace
    if cluster.named not in (None, written):
        raise ClientError(
            f"metadata.namespace is {written}, and --namespace {cluster.named}: leave one of them out"
        )
    return written


def replacement(live: JsonObject, wanted: LLMWorkflow) -> JsonObject:
    """What is there with the spec of a file, and with the file's annotations and labels laid over those there."""
    before = wanted.model_copy(update={"metadata": Metadata.model_validate(live["metadata"])})
    content = merged(before, wanted).written()
    labels = {**live["metadata"].get("labels", {}), **wanted.metadata.labels}
    metadata = {**live["metadata"], **content["metadata"], "labels": labels}
    metadata["namespace"] = live["metadata"]["namespace"]
    metadata.pop("managedFields", None)
    return {**live, "spec": content["spec"], "metadata": metadata}


def _created(wanted: LLMWorkflow, namespace: str) -> JsonObject:
    content = wanted.written()
    content["metadata"] = {**content["metadata"], "namespace": namespace}
    return {**content, "apiVersion": wanted.api_version, "kind": wanted.kind}


def _refuse_deleted(live: JsonObject) -> None:
    if "deletionTimestamp" in live["metadata"]:
        raise ClientError(f"workflow {live['metadata']['name']} is being deleted: apply it once it is gone")
