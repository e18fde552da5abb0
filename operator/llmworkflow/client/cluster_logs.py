"""What a stage printed on a cluster: from the dashboard of its Ray cluster, or the end of it, which its report kept."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import LABEL_STAGE, LABEL_WORKFLOW
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.client.api import Api
from llmworkflow.client.errors import ClientError
from llmworkflow.client.forward import forwarded
from llmworkflow.client.secrets import secret_value
from llmworkflow.kube.resources import CONFIG_MAP, POD
from llmworkflow.render.stage_context import report_name

DASHBOARD_PORT = 8265
KEPT = "log.txt"  # entry of the report's ConfigMap
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"  # noqa: S105  its name
_NODE_TYPE = "ray.io/node-type"
_JOBS = "/api/jobs/"
_TIMEOUT_SECONDS = 30


def logs(api: Api, workflow: LLMWorkflow, stage: str, follow: bool) -> Iterator[str]:
    """The log of the stage's newest job, in pieces.

    Raises:
        ClientError: there is none, or it cannot be reached.
    """
    heads = [pod for pod in pods_of(api, workflow, stage) if _is_head(pod)]
    if heads:
        newest = max(heads, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        with _dashboard(api, newest) as dashboard:
            job = dashboard.newest_job()
            if job:
                yield from dashboard.follow(job) if follow else [dashboard.log(job)]
                return
    kept = _kept(api, workflow, stage)
    if not kept:
        name = workflow.metadata.name
        raise ClientError(
            f"stage {stage} of {name} has not printed anything yet: see `llmworkflow status {name}`"
        )
    yield kept


def pods_of(api: Api, workflow: LLMWorkflow, stage: str) -> Sequence[JsonObject]:
    """The pods of a stage that run."""
    selector = f"{LABEL_WORKFLOW}={workflow.metadata.name},{LABEL_STAGE}={stage}"
    found = api.items(POD, workflow.metadata.namespace, labelSelector=selector)
    return [pod for pod in found if pod.get("status", {}).get("phase") == "Running"]


def _is_head(pod: JsonObject) -> bool:
    return bool(pod["metadata"]["labels"].get(_NODE_TYPE) == "head")


def _kept(api: Api, workflow: LLMWorkflow, stage: str) -> str:
    """The end of the log of a job whose pods are gone."""
    name = report_name(workflow, stage)
    report = api.get(CONFIG_MAP.path(workflow.metadata.namespace, name)) or {}
    return str((report.get("data") or {}).get(KEPT, ""))


@contextmanager
def _dashboard(api: Api, head: JsonObject) -> Iterator["_Dashboard"]:
    """The dashboard on a head, with the token that the head was started with."""
    metadata, headers = head["metadata"], {}
    for entry in head["spec"]["containers"][0].get("env", []):
        if entry["name"] == TOKEN_VARIABLE:
            source = entry["valueFrom"]["secretKeyRef"]
            token = secret_value(api, metadata["namespace"], source["name"], source["key"])
            headers["authorization"] = f"Bearer {token}"
    with forwarded(api, metadata["namespace"], metadata["name"], DASHBOARD_PORT) as url:
        yield _Dashboard(url, headers)


@dataclass(frozen=True)
class _Dashboard:
    """The dashboard of a Ray cluster."""

    url: str
    headers: Mapping[str, str]

    def newest_job(self) -> str | None:
        """The job that was submitted last."""
        jobs = [job for job in json.loads(self._get(_JOBS)) if job.get("submission_id")]
        newest = max(jobs, key=lambda job: job.get("start_time") or 0, default=None)
        return str(newest["submission_id"]) if newest else None

    def log(self, job: str) -> str:
        """All that a job has printed."""
        return str(json.loads(self._get(f"{_JOBS}{job}/logs"))["logs"])

    def follow(self, job: str) -> Iterator[str]:
        """What a job has printed and prints, until it ends."""
        from websocket import WebSocketConnectionClosedException, WebSocketException, create_connection

        headers = [f"{name}: {value}" for name, value in self.headers.items()]
        address = self.url.replace("http://", "ws://", 1)
        try:
            with closing(create_connection(f"{address}{_JOBS}{job}/logs/tail", header=headers)) as log:
                while piece := log.recv():
                    yield piece if isinstance(piece, str) else piece.decode(errors="replace")
        except WebSocketConnectionClosedException:
            return  # the head has ended, and with it the job
        except (OSError, WebSocketException) as error:
            raise ClientError(f"the log of job {job} cannot be followed: {error}") from error

    def _get(self, path: str) -> Any:
        from urllib3 import PoolManager
        from urllib3.exceptions import HTTPError

        try:
            with PoolManager(timeout=_TIMEOUT_SECONDS, retries=False) as http:
                answer = http.request("GET", f"{self.url}{path}", headers=self.headers)
        except HTTPError as error:
            raise ClientError(f"the dashboard of the Ray cluster does not answer: {error}") from error
        if answer.status != 200:
            told = answer.data.decode(errors="replace")[:300]
            raise ClientError(f"the dashboard of the Ray cluster answers {answer.status} {told}")
        return answer.data
