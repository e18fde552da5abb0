"""The dashboards of all Ray clusters, which only pretend: a forward proxy that is every host behind it.

KubeRay's operator, started with HTTP_PROXY pointing here, takes it for whatever cluster it asks.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from llmworkflow.api.names import LABEL_STAGE
from llmworkflow.local.machine import HOST

from . import fake_state, fake_tail
from .api import UNAVAILABLE, Api
from .fake_endpoint import CHAT, STREAM, is_admitted, respond
from .fake_job import FakeJob
from .pod_files import PodFiles
from .scripts import Fault, JobScript, ServeScript

_APPLICATIONS = "/api/serve/applications"
_JOBS = "/api/jobs"
SERVE_PORT = 8000
_KUBE_STATUS = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "reason": "ServiceUnavailable",
    "code": 503,
}

Pod = dict[str, Any]


class Answer(Exception):  # noqa: N818  it ends the handling of a request, and is none
    """What a request is answered with."""

    def __init__(self, status: int, content: Any) -> None:
        super().__init__(status, content)
        self.status, self.content = status, content


@dataclass
class Cluster:
    """What the head of one Ray cluster knows, and loses when it is started anew."""

    namespace: str
    name: str
    of_service: bool  # else of a job, or of its own
    workloads: list[str]  # by which scripts are found: the RayJob or RayService, and the stage
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    serve_config: dict[str, Any] = field(default_factory=dict)
    applications: dict[str, float] = field(default_factory=dict)  # by name, since when they are as configured
    served: bool = False  # whether there were replicas

    def forget(self) -> None:
        """Lose all of it."""
        for job in self.jobs.values():
            job.stop()
        self.jobs, self.serve_config, self.applications, self.served = {}, {}, {}, False

    def job(self, method: str, identity: str, verb: str = "", tail: str = "") -> Answer:
        """What a request about one job is answered with."""
        job = self.jobs.get(identity)
        if job is None:
            return Answer(404, f"Job {identity} does not exist")
        if method == "POST" and verb == "stop":
            job.stop()
            return Answer(200, {"stopped": True})
        if tail:
            return Answer(101, job)
        if verb == "logs":
            return Answer(200, {"logs": job.log})
        return Answer(200, job.details(identity))

    def deploy(self, config: dict[str, Any]) -> Answer:
        """Take a Serve configuration over; an application that it changes comes up anew."""
        before = {entry["name"]: entry for entry in self.serve_config.get("applications", [])}
        now = time.monotonic()
        self.applications = {
            entry["name"]: self.applications[entry["name"]] if before.get(entry["name"]) == entry else now
            for entry in config["applications"]
        }
        self.serve_config = config
        return Answer(200, {})


class FakeDashboard:
    """Answers for all clusters, by the scripts that tests write for workloads.

    A workload is named by what KubeRay calls its origin (the RayJob or RayService) or by the stage it is of.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.RLock()
        self._clusters: dict[tuple[str, str], Cluster] = {}
        self._jobs: dict[tuple[str, str], list[JobScript]] = {}
        self._serves: dict[tuple[str, str], ServeScript] = {}
        self._faults: dict[str, Fault] = {}
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_port}"
        # Ids by namespace and workload.
        self.submissions: dict[tuple[str, str], list[str]] = defaultdict(list)

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, name="fake-dashboard", daemon=True).start()

    def stop(self) -> None:
        """End all jobs, and answer no more."""
        for cluster in self._clusters.values():
            cluster.forget()
        self._server.shutdown()
        self._server.server_close()

    def script_job(self, namespace: str, workload: str, *scripts: JobScript) -> None:
        """How the runs of a workload go, one after another; the last script holds for all that follow."""
        self._jobs[namespace, workload] = list(scripts)

    def finish_jobs(self, namespace: str) -> None:
        """Let the jobs of a namespace come to their end: KubeRay says of one that it runs before it submits it."""
        with self._lock:
            for (where, _), scripts in self._jobs.items():
                if where == namespace:
                    scripts[:] = [replace(script, seconds=0.0) for script in scripts]
            for cluster in self.clusters(namespace):
                for job in cluster.jobs.values():
                    job.finish()

    def script_serve(self, namespace: str, workload: str, script: ServeScript) -> None:
        """How the applications of a workload are, from now on."""
        self._serves[namespace, workload] = script

    def fail(self, namespace: str, fault: Fault | None) -> None:
        """Let the dashboards of a namespace fail, or work again."""
        if fault is None:
            self._faults.pop(namespace, None)
        else:
            self._faults[namespace] = fault

    def serves(self, pod: Pod) -> bool:
        """Whether a pod is ready: all are, but the workers of a service need a proxy, and that an application."""
        if pod["metadata"].get("labels", {}).get("ray.io/node-type") != "worker":
            return True
        cluster = self._cluster_of(pod)
        return not cluster.of_service or self._has_served(cluster)

    def restarted(self, pod: Pod) -> None:
        """A pod was started anew: a head knows nothing of what was before."""
        if pod["metadata"].get("labels", {}).get("ray.io/node-type") == "head":
            self._cluster_of(pod).forget()

    def clusters(self, namespace: str) -> Sequence[Cluster]:
        """The Ray clusters of a namespace that were ever spoken to."""
        return [cluster for (where, _), cluster in self._clusters.items() if where == namespace]

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> Answer:
        """What the host in the URL answers."""
        parts = urlsplit(url)
        try:
            cluster, head = self._behind(parts.hostname or "")
            if fault := self._faults.get(cluster.namespace):
                return _faulty(fault)
            if parts.port == SERVE_PORT:
                return self._endpoint(cluster, head, parts.path, headers, body)
            self._admit(cluster, head, headers)
            with self._lock:
                return self._route(cluster, head, method, parts.path.rstrip("/"), body)
        except Answer as answer:
            return answer
        except UNAVAILABLE:
            return Answer(502, "the API server, which knows what is behind that name, is away")

    def _route(self, cluster: Cluster, head: Pod, method: str, path: str, body: bytes) -> Answer:
        if path == _APPLICATIONS:
            return cluster.deploy(json.loads(body)) if method == "PUT" else self._deployed(cluster)
        if path == _JOBS and method == "POST":
            return self._submit(cluster, head, json.loads(body))
        if path == _JOBS:
            return Answer(200, [job.details(identity) for identity, job in cluster.jobs.items()])
        if path.startswith(_JOBS):
            return cluster.job(method, *path.removeprefix(f"{_JOBS}/").split("/"))
        return Answer(*fake_state.respond(path, cluster.of_service))

    def _endpoint(self, cluster: Cluster, head: Pod, path: str, headers: Any, body: bytes) -> Answer:
        if not self._has_served(cluster):
            return Answer(503, "there is no replica yet")
        if path == "/-/healthz":
            return Answer(200, "success")
        files = PodFiles(self._api, head)
        if path.startswith("/v1/") and not is_admitted(self._api, head, headers):
            return Answer(401, {"error": {"message": "this endpoint asks for an API key"}})
        if path == CHAT and json.loads(body).get("stream"):
            return Answer(200, STREAM)
        return Answer(*respond(files, cluster.serve_config, self._serve_script(cluster), path))

    def _has_served(self, cluster: Cluster) -> bool:
        """Whether the proxies of a cluster have had replicas: from then on they are healthy, whatever those are."""
        script = self._serve_script(cluster)
        cluster.served |= any(script.at(since) == "RUNNING" for since in list(cluster.applications.values()))
        return cluster.served

    def _behind(self, host: str) -> tuple[Cluster, Pod]:
        """The cluster and the head pod that a host name, or a pod's address, leads to."""
        name, _, rest = host.partition(".")
        if rest and not host.replace(".", "").isdigit():
            namespace = rest.split(".")[0]
            service = self._api.get("Service", name, namespace)
            selector = (service or {}).get("spec", {}).get("selector", {})
            # What selects the endpoint's pods spares the head, which knows the answers here.
            labels = {"ray.io/cluster": selector.get("ray.io/cluster", ""), "ray.io/node-type": "head"}
            heads = self._api.list("Pod", namespace, labels) if service else []
        else:
            heads = [pod for pod in self._api.list("Pod") if pod.get("status", {}).get("podIP") == host]
        ready = [pod for pod in heads if pod["status"]["phase"] == "Running"]
        if not ready:
            raise Answer(502, f"no pod behind {host}")
        return self._cluster_of(ready[0]), ready[0]

    def _admit(self, cluster: Cluster, head: Pod, headers: Any) -> None:
        """Ask for the token where the head was started with one."""
        wanted = [
            entry
            for entry in head["spec"]["containers"][0].get("env", [])
            if entry["name"] == "RAY_AUTH_TOKEN"
        ]
        for entry in wanted:
            reference = entry["valueFrom"]["secretKeyRef"]
            secret = self._api.get("Secret", reference["name"], cluster.namespace) or {}
            token = b64decode(secret.get("data", {}).get(reference["key"], "")).decode()
            given = headers.get("x-ray-authorization") or headers.get("authorization")
            if given != f"Bearer {token}":
                raise Answer(401 if given is None else 403, "Unauthorized: wrong or no authentication token")

    def _submit(self, cluster: Cluster, head: Pod, request: dict[str, Any]) -> Answer:
        identity, names = request["submission_id"], cluster.workloads
        if identity in cluster.jobs:
            return Answer(500, f"{identity} is taken. Please use a different submission_id.")
        for name in names:
            self.submissions[cluster.namespace, name].append(identity)
        job = FakeJob(self._api, head, request["entrypoint"], self._next_script(cluster.namespace, names))
        cluster.jobs[identity] = job
        threading.Thread(target=self._run, args=(cluster, identity, job), daemon=True).start()
        return Answer(200, {"job_id": identity, "submission_id": identity})

    def _run(self, cluster: Cluster, identity: str, job: FakeJob) -> None:
        job.run()
        if job.forgotten:
            cluster.jobs.pop(identity, None)

    def _next_script(self, namespace: str, names: Sequence[str]) -> JobScript:
        for name in names:
            if scripts := self._jobs.get((namespace, name)):
                return scripts.pop(0) if len(scripts) > 1 else scripts[0]
        return JobScript()

    def _deployed(self, cluster: Cluster) -> Answer:
        script = self._serve_script(cluster)
        return Answer(
            200,
            {
                "applications": {
                    name: {
                        "name": name,
                        "message": script.message,
                        "deployments": {},
                        "status": script.at(since),
                    }
                    for name, since in cluster.applications.items()
                }
            },
        )

    def _serve_script(self, cluster: Cluster) -> ServeScript:
        found = (self._serves.get((cluster.namespace, name)) for name in cluster.workloads)
        return next((script for script in found if script), ServeScript())

    def _cluster_of(self, pod: Pod) -> Cluster:
        """The cluster of a Ray pod, which is remembered for as long as the tests last."""
        key = pod["metadata"]["namespace"], pod["metadata"]["labels"]["ray.io/cluster"]
        with self._lock:
            if key not in self._clusters:
                namespace, name = key
                labels = (self._api.get("RayCluster", name, namespace) or {"metadata": {}})["metadata"].get(
                    "labels", {}
                )
                stage = pod["metadata"]["labels"].get(LABEL_STAGE)
                workloads = [word for word in (labels.get("ray.io/originated-from-cr-name"), stage) if word]
                of_service = labels.get("ray.io/originated-from-crd") == "RayService"
                self._clusters[key] = Cluster(namespace, name, of_service, workloads)
            return self._clusters[key]


def _faulty(fault: Fault) -> Answer:
    match fault:
        case Fault.ERROR_500:
            return Answer(500, "Internal Server Error")
        case Fault.KUBE_STATUS:
            return Answer(503, _KUBE_STATUS)
        case Fault.HANGS_UP:
            return Answer(0, "")


def _handler(dashboard: FakeDashboard) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            answer = dashboard.answer(self.command, self.path, self.headers, self.rfile.read(length))
            if not answer.status:
                self.close_connection = True
                return
            if isinstance(answer.content, FakeJob):
                fake_tail.send(self, answer.content)
                return
            text = answer.content if isinstance(answer.content, str) else json.dumps(answer.content)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_DELETE = handle_request  # noqa: N815  names of the base class

        def log_message(self, *_: Any) -> None:
            """Say nothing: what matters is in what the operators make of it."""

    return Handler
