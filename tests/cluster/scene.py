"""One workflow in a namespace of its own: a test edits it, acts as people do, and reads what the API says of it."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

from llmworkflow.api.status import StageState

from .api import Object, condition
from .api import eventually as eventually_at
from .conftest import Cluster
from .fates import NeverStarts
from .workflows import NAME, begin, told, workflow

SECONDS = (
    200  # for a step; nearly all of it is for a machine on which dozens of workflows go on at the same time
)
HELD = "tests.llmworkflow.io/held"  # a finalizer that nobody takes away, but `release`

# Dozens look at the same time: oftener, and the programs under test would wait for those who look.
eventually = partial(eventually_at, pause=0.5)

Step = tuple[StageState, StageState]

_STEP = re.compile(r"(?P<stage>\S+): (?P<before>\w+) -> (?P<after>\w+)")


class Scene:
    """What a test does to one workflow, and sees of it; everything through the API."""

    def __init__(self, cluster: Cluster, name: str = NAME) -> None:
        self.cluster, self.api, self.name = cluster, cluster.api, name
        self.namespace = cluster.make_namespace()
        self._tokens = itertools.count()

    def begin(self, *stages: Object, **spec: Any) -> None:
        """Apply the workflow, with the volume that it needs."""
        begin(self.cluster, self.namespace, self.name, stages=list(stages), **spec)

    def edit(self, *stages: Object, **spec: Any) -> None:
        """Apply it anew; what is not named goes back to its default."""
        self.api.apply(workflow(self.namespace, self.name, stages=list(stages), **spec))

    def ask(self, verb: str, stage: str, revision: str = "") -> None:
        """Annotate it as the commands do."""
        request = f"{stage}@{revision}#{next(self._tokens)}"
        annotations = {f"llmworkflow.io/{verb}": request, "llmworkflow.io/requested-by": "alice"}
        self.api.patch("LLMWorkflow", self.name, self.namespace, {"metadata": {"annotations": annotations}})

    def decide(self, verb: str, stage: str) -> None:
        """Approve or reject what the stage has made, or what its endpoint is to serve."""
        status = self.stage(stage)
        offered = re.search(rf"approve {stage}@(\w+)", status["message"])
        self.ask(verb, stage, offered[1] if offered else status["revision"])

    @property
    def workflow(self) -> Object:
        """The resource as it is."""
        found = self.api.get("LLMWorkflow", self.name, self.namespace)
        assert found, f"{self.namespace}/{self.name} is gone"
        return found

    def stage(self, name: str) -> Object:
        """The status of a stage; empty before there is one."""
        stages = self.workflow.get("status", {}).get("stages", [])
        return next((stage for stage in stages if stage["name"] == name), {})

    def until(self, stage: str, state: StageState, reason: str | None = None) -> Object:
        """The status of a stage, once it is in a state and, where one is named, for a reason."""

        def look() -> Object | None:
            found = self.stage(stage)
            fits = found.get("state") == state and reason in (None, found.get("reason"))
            return found if fits else None

        what = f"{self.namespace}: {stage} is {state} {reason or ''}"
        try:
            return eventually(look, SECONDS, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {told(self.api, self.namespace, self.name)}") from None

    def tells(
        self, stage: str, state: StageState, reason: str, *texts: str, kind: str = "Ready", warns: bool = True
    ) -> None:
        """A stage is in a state for a reason, and a person reads so: in its status, a condition and an Event.

        The condition is the one that `kind` names. All is read as kubectl describes it.
        """
        message = self.until(stage, state, reason)["message"]

        def tells() -> bool:
            found = condition(self.workflow, kind)
            return (found["reason"], found["message"]) == (reason, f"{stage}: {message}")

        eventually(tells, SECONDS, f"{self.namespace}: condition {kind} is {reason}: {message}")
        self.describes(reason, *texts, warns=warns)

    def stalls(self, reason: str, *texts: str) -> None:
        """Nothing can be done, and a person reads why."""

        def stalled() -> bool:
            found = condition(self.workflow, "Stalled")
            return (found.get("status"), found.get("reason")) == ("True", reason)

        eventually(stalled, SECONDS, f"{self.namespace}/{self.name} is stalled for {reason}")
        assert self.workflow["status"]["phase"] == "Stalled"
        self.describes(reason, *texts)

    def describes(self, reason: str, *texts: str, warns: bool = True) -> None:
        """`kubectl describe` has a reason and texts, in the resource and in an Event."""

        def event() -> Object | None:
            found = (event for event in self.events() if event["reason"] == reason)
            return next((event for event in found if all(text in event["message"] for text in texts)), None)

        found = eventually(event, SECONDS, f"there is an Event {reason} that says {texts}")
        assert found["type"] == ("Warning" if warns else "Normal")
        described = self.cluster.kubectl("-n", self.namespace, "describe", "llmwf", self.name)
        resource, _, events = described.partition("\nEvents:")
        for text in (reason, *texts):
            assert text in resource
            assert text in events

    def passes(self, before: StageState, then: StageState) -> None:
        """Wait until a stage has gone from one state to another, which it may have left again meanwhile."""
        what = f"{self.namespace}: a stage goes from {before} to {then}"
        eventually(lambda: (before, then) in self.seen(), SECONDS, what)

    def child(self, stage: str) -> Object:
        """The RayJob or RayService of a stage, once it is there."""

        def look() -> Object | None:
            child = self.stage(stage).get("child")
            return self.api.get(child["kind"], child["name"], self.namespace) if child else None

        return eventually(look, SECONDS, f"{self.namespace}: {stage} has its child")

    def until_gone(self, stage: str) -> None:
        """Wait until the operator, too, knows that the child of a stage is gone."""
        what = f"{self.namespace}: {stage} has no child"
        eventually(lambda: not self.stage(stage).get("child"), SECONDS, what)

    def change(self, child: Object, **change: Any) -> None:
        """Merge something into a child, as a controller would."""
        self.api.patch(child["kind"], child["metadata"]["name"], self.namespace, change)

    def hold(self, child: Object) -> None:
        """Keep a child from going when it is deleted, as a finalizer of somebody else's does."""
        self.change(child, metadata={"finalizers": [*child["metadata"].get("finalizers", []), HELD]})

    def release(self, child: Object) -> None:
        """Let it go."""
        self.change(child, metadata={"finalizers": []})

    def vanish(self, child: Object) -> None:
        """Have a child be gone at once, without a moment in which it is seen to be going."""
        self.release(child)
        self.api.delete(child["kind"], child["metadata"]["name"], self.namespace)

    def lose_ray_cluster(self, child: Object) -> None:
        """Delete the Ray cluster of a service, whose pods go with it; those that follow do not start."""
        self.cluster.kubelet.tell(self.namespace, NeverStarts())
        status = self.api.get(child["kind"], child["metadata"]["name"], self.namespace) or {}
        name = status["status"]["activeServiceStatus"].get("rayClusterName") or next(
            found["metadata"]["name"] for found in self.api.list("RayCluster", self.namespace)
        )
        self.api.delete("RayCluster", name, self.namespace)

    def preempt(self, child: Object, *, suspended: bool = True) -> None:
        """Suspend a service, or resume it, as KubeRay 1.7 says it; KubeRay 1.6, which runs here, leaves it be."""
        name = child["metadata"]["name"]
        service = self.api.get("RayService", name, self.namespace) or {}
        others = [found for found in service["status"]["conditions"] if found["type"] != "Suspended"]
        told = {
            "type": "Suspended",
            "status": "True",
            "reason": "SuspendComplete",
            "message": "the queue needs the room",
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        conditions = [*others, told] if suspended else others
        self.api.patch("RayService", name, self.namespace, {"status": {"conditions": conditions}}, "status")

    def seen(self) -> set[Step]:
        """The transitions that Events tell of: also those which another follows before anyone could look."""
        steps = (_STEP.match(event["message"]) for event in self.events())
        return {(StageState(step["before"]), StageState(step["after"])) for step in steps if step}

    def events(self) -> list[Object]:
        """The Events about the workflow."""
        found = self.api.list("Event", self.namespace)
        return [event for event in found if event["involvedObject"]["kind"] == "LLMWorkflow"]

    def end(self) -> None:
        """Have all of it go."""
        for kind in ("RayJob", "RayService"):
            for child in self.api.list(kind, self.namespace):
                if HELD in child["metadata"].get("finalizers", []):
                    self.release({**child, "kind": kind})
        self.api.delete("Namespace", self.namespace)
