"""Workflows of a cluster, through its API server."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import ANNOTATION_SUSPENDED_BY
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.client import cluster_doctor, cluster_logs, cluster_page, events
from llmworkflow.client.api import Api
from llmworkflow.client.connect import Connection
from llmworkflow.client.doctor import Finding
from llmworkflow.client.endpoint import Endpoint, key_of
from llmworkflow.client.errors import ClientError, RefusedError
from llmworkflow.client.forward import reached
from llmworkflow.client.reading import status_of
from llmworkflow.client.secrets import secret_of
from llmworkflow.client.workflow import check_name
from llmworkflow.core.registry import TunedModel, of_status
from llmworkflow.kube.resources import LLM_WORKFLOW

USERS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_USER_QUESTION = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


class ClusterWorkflow:
    """One workflow of a cluster."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api = api
        self.namespace = namespace
        self.name = name

    @property
    def path(self) -> str:
        """Where the API has it."""
        return LLM_WORKFLOW.path(self.namespace, self.name)

    def load(self) -> LLMWorkflow:
        """What was last applied.

        Raises:
            InvalidWorkflow: it has what this version does not know.
        """
        return parse_workflow(self.resource())

    def status(self) -> LLMWorkflowStatus:
        return status_of(self.resource())

    def resource(self) -> JsonObject:
        found = self._api.get(self.path)
        if found is None:
            raise ClientError(f"no workflow {self.name} in namespace {self.namespace} any more")
        return found

    def user(self) -> str:
        """Who the API server takes the user for, which is what its policy compares."""
        found: str = self._api.create(USERS, _USER_QUESTION)["status"]["userInfo"]["username"]
        return found

    def annotate(self, annotations: Mapping[str, str]) -> None:
        self._api.merge(self.path, {"metadata": {"annotations": dict(annotations)}})

    def suspend(self) -> None:
        self._set_suspend(True, self.user())

    def resume(self) -> None:
        self._set_suspend(False, None)

    def delete(self) -> None:
        """Delete it, and all that it owns."""
        self._api.delete(self.path)

    def driven(self) -> bool:
        """An operator is taken for granted: whether one runs is for `doctor` to say."""
        return True

    def logs(self, stage: str, follow: bool) -> Iterator[str]:
        return cluster_logs.logs(self._api, self.load(), stage, follow)

    @contextmanager
    def endpoint(self) -> Iterator[Endpoint]:
        workflow, serving = self.load(), self.status().serving
        if serving is None or serving.url is None:
            raise ClientError(f"{self.name} serves nothing now: see `llmworkflow status {self.name}`")
        key = key_of(workflow, serving.stage, partial(secret_of, self._api, self.namespace))
        with reached(self._api, self.namespace, serving.url) as url:
            yield Endpoint(url, serving.model_id, key)

    def events(self) -> list[JsonObject]:
        """What happened to it and to what it runs, the latest last."""
        return events.of_workflow(self._api, self.namespace, self.name, self.status())

    def models(self) -> Sequence[TunedModel]:
        """Those that its status knows of: the storage is the cluster's."""
        return of_status(self.load(), self.status())

    def page(self, now: datetime) -> str:
        return cluster_page.page_html(self.load(), self.status(), now)

    def _set_suspend(self, suspend: bool, user: str | None) -> None:
        metadata = {"annotations": {ANNOTATION_SUSPENDED_BY: user}}
        self._api.merge(self.path, {"metadata": metadata, "spec": {"suspend": suspend}})


class Cluster:
    """A namespace of a cluster."""

    def __init__(self, connection: Connection, namespace: str | None) -> None:
        self.api = connection.api
        self.named = namespace
        self.namespace = check_name("namespace", namespace or connection.namespace)
        self.place = f"namespace {self.namespace} of cluster {connection.context}"

    def workflow(self, name: str) -> ClusterWorkflow:
        found = ClusterWorkflow(self.api, self.namespace, check_name("workflow", name))
        if self.api.get(found.path) is None:
            known = ", ".join(item["metadata"]["name"] for item in self.resources()) or "none"
            raise ClientError(f"no workflow {name} in {self.place}; there are: {known}")
        return found

    def workflows(self, everywhere: bool = False) -> Sequence[ClusterWorkflow]:
        found = [item["metadata"] for item in self.resources(everywhere)]
        return [ClusterWorkflow(self.api, item["namespace"], item["name"]) for item in found]

    def resources(self, everywhere: bool = False) -> Sequence[JsonObject]:
        try:
            return self.api.items(LLM_WORKFLOW, "" if everywhere else self.namespace)
        except RefusedError as error:
            if error.status != 404:
                raise
            raise ClientError(
                f"{self.api.server} knows no LLMWorkflow: install llmworkflow there; `llmworkflow doctor` says more"
            ) from error

    def examine(self) -> Iterator[Finding]:
        return cluster_doctor.examine(self.api, self.namespace)
