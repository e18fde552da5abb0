"""What a stage printed on a cluster: from the dashboard of its Ray cluster, or the end of it, which its report kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import LABEL_STAGE, LABEL_WORKFLOW
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.client.api import Api
from llmworkflow.client.dashboard import Dashboard
from llmworkflow.client.errors import ClientError
from llmworkflow.client.forward import forwarded
from llmworkflow.client.secrets import secret_value
from llmworkflow.kube.resources import CONFIG_MAP, POD
from llmworkflow.render.stage_context import report_name

DASHBOARD_PORT = 8265
KEPT = "log.txt"  # entry of the report's ConfigMap
TOKEN_VARIABLE = "RAY_AUTH_TOKEN"  # noqa: S105  its name
_NODE_TYPE = "ray.io/node-type"
_ENDED = None  # in a queue: one more log has come to its end


def logs(api: Api, workflow: LLMWorkflow, stage: str, follow: bool) -> Iterator[str]:
    """The log of the stage's newest job, or of the replicas of its endpoint, in pieces.

    Raises:
        ClientError: there is none, or it cannot be reached.
    """
    heads = [pod for pod in pods_of(api, workflow, stage) if _is_head(pod)]
    if heads:
        newest = max(heads, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        with _dashboard(api, newest) as dashboard:
            if job := dashboard.newest_job():
                yield from dashboard.follow(job) if follow else [dashboard.log(job)]
                return
            if replicas := dashboard.replicas():
                yield from _interleaved([dashboard.replica_log(replica, follow) for replica in replicas])
                return
    kept = _kept(api, workflow, stage)
    if not kept:
        name = workflow.metadata.name
        raise ClientError(
            f"stage {stage} of {name} has not printed anything yet: see `llmworkflow status {name}`"
        )
    yield kept


def pods_of(api: Api, workflow: LLMWorkflow, stage: str) -> Sequence[JsonObject]:
    """The pods of a stage that run, and are to go on."""
    selector = f"{LABEL_WORKFLOW}={workflow.metadata.name},{LABEL_STAGE}={stage}"
    found = api.items(POD, workflow.metadata.namespace, labelSelector=selector)
    return [
        pod
        for pod in found
        if pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def _interleaved(logs: Sequence[Iterator[str]]) -> Iterator[str]:
    """The lines of several logs, as they come; one alone in its order."""
    lines = SimpleQueue[str | None | Exception]()

    def read(log: Iterator[str]) -> None:
        try:
            for line in log:
                lines.put(line)
        except ClientError as error:
            lines.put(error)
        lines.put(_ENDED)

    for log in logs:
        Thread(target=read, args=(log,), daemon=True).start()
    left = len(logs)
    while left:
        line = lines.get()
        if isinstance(line, Exception):
            raise line
        if line is _ENDED:
            left -= 1
        else:
            yield line


def _is_head(pod: JsonObject) -> bool:
    return bool(pod["metadata"]["labels"].get(_NODE_TYPE) == "head")


def _kept(api: Api, workflow: LLMWorkflow, stage: str) -> str:
    """The end of the log of a job whose pods are gone."""
    name = report_name(workflow, stage)
    report = api.get(CONFIG_MAP.path(workflow.metadata.namespace, name)) or {}
    return str((report.get("data") or {}).get(KEPT, ""))


@contextmanager
def _dashboard(api: Api, head: JsonObject) -> Iterator[Dashboard]:
    """The dashboard on a head, with the token that the head was started with."""
    metadata, headers = head["metadata"], {}
    for entry in head["spec"]["containers"][0].get("env", []):
        if entry["name"] == TOKEN_VARIABLE:
            source = entry["valueFrom"]["secretKeyRef"]
            token = secret_value(api, metadata["namespace"], source["name"], source["key"])
            headers["authorization"] = f"Bearer {token}"
    with forwarded(api, metadata["namespace"], metadata["name"], DASHBOARD_PORT) as url:
        yield Dashboard(url, headers)
