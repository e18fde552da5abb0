"""What plays the part of people, KubeRay and jobs: it writes to the API what those would have written."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.cluster.api import Api as People

from llmworkflow.api import names
from llmworkflow.api.fields import JsonObject
from llmworkflow.kube.client import Api
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import CONFIG_MAP, LLM_WORKFLOW, RAY_JOB, RAY_SERVICE, Resource
from llmworkflow.kube.watch import SELECTOR

from .blueprint import NAMESPACE, Blueprint, report_of, workflow_of
from .scene import FOREIGN

AT_ONCE = 24  # requests
JOB_SECONDS = 0.5  # that a job takes which is played from its beginning
BORN_SECONDS = 60.0  # that a child may take to be created, on the worst of machines

Place = tuple[str, str]
"""Workflow and stage."""


async def populate(api: Api, people: People, blueprint: Blueprint, count: int) -> None:
    """Make workflows with two running jobs each, and all that stands beside those."""
    await _all(_make(api, people, blueprint, name_of(number)) for number in range(count))


async def add_foreign_jobs(api: Api, blueprint: Blueprint, count: int) -> None:
    """Make RayJobs as large as ours that belong to nobody here."""
    workflow = workflow_of("foreign")
    workflow["metadata"]["uid"] = "-"
    job = blueprint.manifests_of(workflow)[-1]
    for number in range(count // 500):
        named = ({"name": f"foreign-{number}-{index}", "namespace": FOREIGN} for index in range(500))
        await _all(_run(api, {**job, "metadata": metadata}) for metadata in named)


def name_of(number: int) -> str:
    """Name of a workflow."""
    return f"load-{number:05d}"


@dataclass
class StandIn:
    """Runs what the operator creates, and notes when it was created."""

    api: Api
    plays_on: bool = False  # whether new jobs also end, by themselves
    born: dict[Place, asyncio.Future[float]] = field(default_factory=dict)
    ended: dict[Place, float] = field(default_factory=dict)  # when a job was about to end
    jobs: dict[Place, JsonObject] = field(default_factory=dict)
    _acts: set[asyncio.Task[None]] = field(default_factory=set)

    async def list(self, resource: Resource) -> str:
        """Learn what is there of one kind of children; returns the version of that."""
        page = await self.api.list(resource, NAMESPACE, labelSelector=SELECTOR)
        for child in page["items"]:
            self.jobs[_place(child)] = child
        version: str = page["metadata"]["resourceVersion"]
        return version

    async def follow(self, resource: Resource, version: str) -> None:
        """Watch one kind of children from a version on, until cancelled."""
        while True:
            async for event in self.api.watch(resource, NAMESPACE, version, SELECTOR):
                version = event["object"]["metadata"]["resourceVersion"]
                self._take(event["type"], event["object"])

    async def end(self, place: Place) -> float:
        """Let a job end well; returns when."""
        job = await self.api.get(RAY_JOB, NAMESPACE, self.jobs[place]["metadata"]["name"])
        assert job is not None, f"{place} is still there"
        await self.api.merge(CONFIG_MAP, NAMESPACE, _report_name(job), {"data": _report_data(job)})
        at = self.ended[place] = time.monotonic()
        try:
            await _put_status(self.api, job, _complete(job))
        except ApiError as error:
            if error.status != 404:  # the operator believes the report, and may have been faster
                raise
        return at

    async def until_born(self, place: Place) -> float:
        """When a child was created, after it was."""
        return await asyncio.wait_for(self._birth(place), BORN_SECONDS)

    def _take(self, kind: str, child: JsonObject) -> None:
        if kind == "ADDED":
            place = _place(child)
            self.jobs[place] = child
            birth = self._birth(place)
            if not birth.done():
                birth.set_result(time.monotonic())
            if child["kind"] == RAY_JOB.kind:
                self._begin(self._play(place, child))

    async def _play(self, place: Place, job: JsonObject) -> None:
        await _put_status(self.api, job, _running(job))
        if self.plays_on:
            await asyncio.sleep(JOB_SECONDS)
            await self.end(place)

    def _begin(self, act: Awaitable[None]) -> None:
        task = asyncio.ensure_future(act)
        self._acts.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._acts.discard(task)
        task.result()

    def _birth(self, place: Place) -> asyncio.Future[float]:
        return self.born.setdefault(place, asyncio.get_running_loop().create_future())


async def _make(api: Api, people: People, blueprint: Blueprint, name: str) -> None:
    workflow = await asyncio.to_thread(people.create, workflow_of(name))
    uids = {}
    for manifest in blueprint.manifests_of(workflow):
        if manifest["kind"] == RAY_JOB.kind:
            uids[manifest["metadata"]["name"]] = await _run(api, manifest)
        else:
            await api.create(manifest)
    status = blueprint.status_of(name, workflow["metadata"]["uid"])
    for stage in status["stages"]:
        if stage.get("child"):
            stage["child"]["uid"] = uids[stage["child"]["name"]]
    await api.replace_status(LLM_WORKFLOW, {**workflow, "status": status})


async def _run(api: Api, job: JsonObject) -> str:
    """Create a RayJob that runs; returns its uid."""
    created = await api.create(job)
    await _put_status(api, created, _running(created))
    return str(created["metadata"]["uid"])


async def _put_status(api: Api, job: JsonObject, status: JsonObject) -> None:
    await api.replace_status(RAY_JOB, {**job, "status": status})


def _running(job: JsonObject) -> JsonObject:
    """The status that KubeRay keeps of a job that runs, as long as the real one."""
    name, now = job["metadata"]["name"], _now()
    cluster = f"{name}-abcde"
    conditions = [
        {"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": now}
        for kind in ("HeadPodReady", "RayClusterProvisioned", "RayClusterSuspending")
    ]
    return {
        "jobId": f"{name}-12345",
        "rayClusterName": cluster,
        "dashboardURL": f"{cluster}-head-svc.{job['metadata']['namespace']}.svc.cluster.local:8265",
        "jobStatus": "RUNNING",
        "jobDeploymentStatus": "Running",
        "startTime": now,
        "observedGeneration": 1,
        "rayClusterStatus": {
            "desiredCPU": "16", "desiredGPU": "4", "desiredMemory": "136Gi", "desiredTPU": "0",
            "desiredWorkerReplicas": 4, "availableWorkerReplicas": 4, "readyWorkerReplicas": 4,
            "minWorkerReplicas": 4, "maxWorkerReplicas": 4, "observedGeneration": 1, "state": "ready",
            "lastUpdateTime": now, "stateTransitionTimes": {"ready": now}, "conditions": conditions,
            "endpoints": {"client": "10001", "dashboard": "8265", "gcs": "6379", "metrics": "8080"},
            "head": {
                "podIP": "198.18.0.7", "podName": f"{cluster}-head-x1y2z",
                "serviceIP": "198.19.3.4", "serviceName": f"{cluster}-head-svc",
            },
        },
    }  # fmt: skip


def _complete(job: JsonObject) -> JsonObject:
    return {
        **_running(job),
        "jobStatus": "SUCCEEDED",
        "jobDeploymentStatus": "Complete",
        "endTime": _now(),
        "message": "Job finished successfully.",
    }


def _report_name(job: JsonObject) -> str:
    """The ConfigMap that the head's environment names."""
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    address = next(item["value"] for item in head["env"] if item["name"] == "LLMWORKFLOW_REPORT")
    return str(address).rpartition("/")[2]


def _report_data(job: JsonObject) -> dict[str, str]:
    labels, owner = job["metadata"]["labels"], job["metadata"]["ownerReferences"][0]
    work = {
        "workflow": owner["uid"],
        "stage": labels[names.LABEL_STAGE],
        "revision": labels[names.LABEL_REVISION],
        "attempt": int(labels[names.LABEL_ATTEMPT]),
    }
    kind = "adapter" if work["stage"] == "tune" else "rows"
    return {"report.json": json.dumps(report_of(work, "Succeeded", kind))}


def _place(child: JsonObject) -> Place:
    labels = child["metadata"]["labels"]
    return labels[names.LABEL_WORKFLOW], labels[names.LABEL_STAGE]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _all(work: Iterable[Awaitable[object]]) -> None:
    """Do all of it, some at a time."""
    waiting = iter(work)

    async def worker() -> None:
        for item in waiting:
            await item

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


CHILD_KINDS = (RAY_JOB, RAY_SERVICE)
