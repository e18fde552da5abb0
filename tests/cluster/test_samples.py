"""The samples, rendered, run through the real KubeRay: jobs to Complete, services to Ready, under Pod Security."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from llmworkflow.api.parse import parse_workflow
from llmworkflow.core.report import JobReport, parse_report
from llmworkflow.job_code import job_code
from llmworkflow.render.first_run import render_all
from llmworkflow.render.settings import Settings

from .api import ApiError, condition, eventually
from .conftest import Cluster
from .fake_endpoint import REPORT_PATH
from .fake_job import REPORT_KEY
from .supplies import for_samples, priority_class
from .test_schema import SAMPLES, document
from .workflows import RESTRICTED

SECONDS = 300  # for all of them, which go on at the same time; most of it is for a machine that is busy

pytestmark = pytest.mark.timeout(400)

Manifest = dict[str, Any]


class Run:
    """One sample in a namespace of its own, with all its stages at once."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.namespace = cluster, cluster.make_namespace()
        cluster.api.patch("Namespace", self.namespace, None, {"metadata": {"labels": RESTRICTED}})
        for_samples(cluster.api, self.namespace)
        path = next(path for path in SAMPLES if path.stem == name)
        created = cluster.api.create(document(path, self.namespace))
        self.uid = created["metadata"]["uid"]
        self.manifests = render_all(parse_workflow(created), Settings(), job_code())

    def apply(self) -> None:
        for manifest in self.manifests:
            self.cluster.api.apply(manifest, "llmworkflow")

    def children(self, kind: str) -> list[Manifest]:
        return self.cluster.api.list(kind, self.namespace)

    def report(self, stage: str) -> JobReport:
        """What the job of a stage wrote."""
        labels = {"llmworkflow.io/stage": stage}
        found = [
            m
            for m in self.cluster.api.list("ConfigMap", self.namespace, labels)
            if REPORT_KEY in m.get("data", {})
        ]
        report = parse_report(json.loads(found[0]["data"][REPORT_KEY]))
        assert report
        return report


@pytest.fixture(scope="module")
def runs(cluster: Cluster) -> Iterator[dict[str, Run]]:
    """All samples, begun at once."""
    priority_class(cluster.api, "batch")
    found = {path.stem: Run(cluster, path.stem) for path in SAMPLES}
    for run in found.values():
        run.apply()
    yield found
    for run in found.values():
        cluster.api.delete("Namespace", run.namespace)


@pytest.mark.capability("queue", "samples")
@pytest.mark.parametrize("name", [path.stem for path in SAMPLES])
def test_sample_runs(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    for job in run.children("RayJob"):
        if "kueue.x-k8s.io/queue-name" in job["metadata"]["labels"]:
            _admit(run, job["metadata"]["name"])
    eventually(lambda: all(map(_complete, run.children("RayJob"))), SECONDS, "its jobs are complete")
    eventually(lambda: all(map(_ready, run.children("RayService"))), SECONDS, "its services are ready")
    assert run.children("RayJob") or run.children("RayService")


def test_jobs_report_with_the_rights_of_their_head(runs: dict[str, Run]) -> None:
    run = runs["viggo"]
    eventually(lambda: all(map(_complete, run.children("RayJob"))), SECONDS, "the jobs are complete")
    for job in run.children("RayJob"):
        labels = job["metadata"]["labels"]
        stage, revision = labels["llmworkflow.io/stage"], labels["llmworkflow.io/revision"]
        report = run.report(stage)
        assert report.is_of(run.uid, stage, revision, int(labels["llmworkflow.io/attempt"]))
        assert report.state == "Succeeded"
        assert report.artifact
    assert run.report("score").metrics["exactMatch"].n == 1000


def test_heads_may_write_reports_and_nothing_else(runs: dict[str, Run]) -> None:
    run = runs["viggo"]
    api = run.cluster.api
    account = next(m["metadata"]["name"] for m in run.manifests if m["kind"] == "ServiceAccount")
    head = api.as_bearer(api.token_of(account, run.namespace))
    for kind in ("Secret", "ConfigMap", "Pod"):
        with pytest.raises(ApiError, match=r"403 Forbidden"):
            head.list(kind, run.namespace)
    with pytest.raises(ApiError, match=r"403 Forbidden"):
        head.patch("ConfigMap", "kube-root-ca.crt", run.namespace, {"data": {"x": "y"}})


def test_a_job_without_leave_to_report_fails(cluster: Cluster) -> None:
    run = Run(cluster, "batch-only")
    run.manifests = [manifest for manifest in run.manifests if manifest["kind"] != "RoleBinding"]
    run.apply()
    job = eventually(lambda: _ended(run), SECONDS, "the job has ended")
    assert job["status"]["jobStatus"] == "FAILED"
    assert "cannot patch resource" in job["status"]["message"]
    cluster.api.delete("Namespace", run.namespace)


@pytest.mark.capability("verification")
def test_an_endpoint_gives_a_verdict_on_itself(runs: dict[str, Run]) -> None:
    run = runs["viggo"]
    eventually(lambda: all(map(_ready, run.children("RayService"))), SECONDS, "the service is ready")
    (service,) = run.children("RayService")
    name, labels = service["metadata"]["name"], service["metadata"]["labels"]
    url = f"http://{name}-serve-svc.{run.namespace}.svc:8000{REPORT_PATH}"
    with httpx.Client(proxy=run.cluster.dashboard.url, trust_env=False) as client:
        report = parse_report(client.get(url).raise_for_status().json())
    assert report
    assert report.is_of(run.uid, labels["llmworkflow.io/stage"], labels["llmworkflow.io/revision"], 1)
    assert report.verification
    assert report.verification.passed


def test_dashboards_ask_for_the_token_that_kuberay_made(runs: dict[str, Run]) -> None:
    run = runs["viggo"]
    eventually(lambda: run.children("RayCluster"), SECONDS, "there is a Ray cluster")
    cluster = run.children("RayCluster")[0]["metadata"]["name"]
    url = f"http://{cluster}-head-svc.{run.namespace}.svc.cluster.local:8265/api/jobs/"
    with httpx.Client(proxy=run.cluster.dashboard.url, trust_env=False) as client:
        status = eventually(lambda: _not_absent(client.get(url).status_code), SECONDS, "its head runs")
    assert status == 401


@pytest.mark.capability("left-nothing")
def test_all_goes_with_the_workflow(cluster: Cluster) -> None:
    run = Run(cluster, "viggo")
    supplied = [secret["metadata"]["name"] for secret in run.children("Secret")]
    run.apply()
    cluster.api.delete("LLMWorkflow", "viggo", run.namespace, propagationPolicy="Foreground")
    left = ("RayJob", "RayService", "RayCluster", "Pod", "Role", "RoleBinding", "NetworkPolicy", "Secret")

    def gone() -> bool:
        remains = [m["metadata"]["name"] for kind in left for m in cluster.api.list(kind, run.namespace)]
        return remains == supplied

    eventually(gone, SECONDS, "nothing is left")
    cluster.api.delete("Namespace", run.namespace)


def _admit(run: Run, job: str) -> None:
    """Do as Kueue does when there is room."""

    def waits() -> bool:
        found = run.cluster.api.get("RayJob", job, run.namespace) or {}
        return bool(found.get("status", {}).get("jobDeploymentStatus") == "Suspended")

    eventually(waits, SECONDS, "the job waits to be admitted")
    run.cluster.api.patch("RayJob", job, run.namespace, {"spec": {"suspend": False}})


def _complete(job: Manifest) -> bool:
    status = job.get("status", {})
    assert status.get("jobStatus") != "FAILED", status
    assert status.get("jobDeploymentStatus") not in ("Failed", "ValidationFailed"), status
    return bool(status.get("jobDeploymentStatus") == "Complete")


def _ready(service: Manifest) -> bool:
    return bool(condition(service, "Ready").get("status") == "True")


def _ended(run: Run) -> Manifest | None:
    (job,) = run.children("RayJob")
    return job if job.get("status", {}).get("jobDeploymentStatus") in ("Complete", "Failed") else None


def _not_absent(status: int) -> int | None:
    return status if status != 502 else None
