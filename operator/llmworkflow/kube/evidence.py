"""Fetches what a diagnosis needs, live and not often: only while a child is pending, or a service comes up."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import LABEL_STAGE, LABEL_WORKFLOW
from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube.cache import Key
from llmworkflow.kube.children import ChildRecord
from llmworkflow.kube.client import Api
from llmworkflow.kube.diagnose import Diagnosis, Evidence, diagnose
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import CLAIM, EVENT, NODE, POD, Resource

# Pods are given a moment to come; one that waits for long is looked at less and less often.
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0
PAGE = 500  # events or whatever else is read at a time


@dataclass(frozen=True)
class _Latest:
    """What was found about a child in a phase, when to look for more, and how long to wait after that."""

    workflow: Key
    phase: ChildPhase
    due: float
    pause: float
    found: Diagnosis | None = None


class Diagnoses:
    """The latest diagnosis of every child whose pods are awaited."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._latest: dict[str, _Latest] = {}  # by uid

    async def of(self, child: ChildRecord) -> tuple[Diagnosis | None, float]:
        """What a child's pods wait for, and after how many seconds it is looked at again."""
        now, phase = time.monotonic(), child.look.phase
        latest = self._latest.get(child.uid)
        if latest is None or latest.phase is not phase:
            latest = _Latest(child.key, phase, now + FIRST_SECONDS, FIRST_SECONDS)
        if now >= latest.due:
            found = diagnose(await self._evidence(child))
            pause = min(LONGEST_SECONDS, latest.pause * 2)
            latest = _Latest(child.key, phase, now + latest.pause, pause, found)
        self._latest[child.uid] = latest
        return latest.found, max(0.1, latest.due - now)

    def forget(self, child_uid: str) -> None:
        """A child has all its pods, or is done."""
        self._latest.pop(child_uid, None)

    def forget_all(self, workflow: Key) -> None:
        """A workflow is gone, and its children with it."""
        for uid in [uid for uid, latest in self._latest.items() if latest.workflow == workflow]:
            del self._latest[uid]

    async def _evidence(self, child: ChildRecord) -> Evidence:
        selector = f"{LABEL_WORKFLOW}={child.workflow},{LABEL_STAGE}={child.stage}"
        pods = [pod async for pod in self._each(POD, child.namespace, labelSelector=selector)]
        names = {pod["metadata"]["name"] for pod in pods}
        return Evidence(
            pods=pods,
            events=[
                event
                async for event in self._each(EVENT, child.namespace, fieldSelector="type=Warning")
                if _concerns(event["involvedObject"], child, names)
            ],
            nodes=[node async for node in self._each(NODE, "")] if pods else [],
            claims=[claim async for claim in self._each(CLAIM, child.namespace)] if pods else [],
        )

    async def _each(self, resource: Resource, namespace: str, **query: str) -> AsyncIterator[JsonObject]:
        """All that may be seen: an installation may withhold the nodes."""
        try:
            async for page in self._api.pages(resource, namespace, PAGE, **query):
                for item in page["items"]:
                    yield item
        except ApiError as error:
            if error.status != 403:
                raise


def _concerns(involved: JsonObject, child: ChildRecord, pods: set[str]) -> bool:
    """Whether an event is about the child, its Ray cluster or one of its pods."""
    name = involved.get("name", "")
    return name in pods or name == child.name or name.startswith(f"{child.name}-")
