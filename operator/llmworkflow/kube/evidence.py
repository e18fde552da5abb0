"""Fetches what a diagnosis needs, live and not often: only while a child is pending."""

import time

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import LABEL_STAGE, LABEL_WORKFLOW
from llmworkflow.kube.children import ChildRecord
from llmworkflow.kube.client import Api
from llmworkflow.kube.diagnose import Diagnosis, Evidence, diagnose
from llmworkflow.kube.errors import ApiError
from llmworkflow.kube.resources import CLAIM, EVENT, NODE, POD, Resource

# Pods are given a moment to come; one that waits for long is looked at less and less often.
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0
_EVENTS = "500"


class Diagnoses:
    """The latest diagnosis of every pending child."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._found: dict[
            str, tuple[float, float, Diagnosis | None]
        ] = {}  # next look, pause and result by uid

    async def of(self, child: ChildRecord) -> tuple[Diagnosis | None, float]:
        """What a pending child waits for, and after how many seconds it is looked at again."""
        now = time.monotonic()
        due, pause, known = self._found.get(child.uid, (now + FIRST_SECONDS, FIRST_SECONDS, None))
        if now >= due:
            known = diagnose(await self._evidence(child))
            due, pause = now + pause, min(LONGEST_SECONDS, pause * 2)
        self._found[child.uid] = (due, pause, known)
        return known, max(0.1, due - now)

    def forget(self, child_uid: str) -> None:
        """A child is no longer pending."""
        self._found.pop(child_uid, None)

    async def _evidence(self, child: ChildRecord) -> Evidence:
        selector = f"{LABEL_WORKFLOW}={child.workflow},{LABEL_STAGE}={child.stage}"
        pods = await self._all(POD, child.namespace, labelSelector=selector)
        events = await self._all(EVENT, child.namespace, fieldSelector="type=Warning", limit=_EVENTS)
        names = {pod["metadata"]["name"] for pod in pods}
        return Evidence(
            pods=pods,
            events=[event for event in events if _concerns(event["involvedObject"], child, names)],
            nodes=await self._all(NODE, "") if pods else [],
            claims=await self._all(CLAIM, child.namespace) if pods else [],
        )

    async def _all(self, resource: Resource, namespace: str, **query: str) -> list[JsonObject]:
        """All that may be seen: an installation may withhold the nodes."""
        try:
            found: list[JsonObject] = (await self._api.list(resource, namespace, **query))["items"]
        except ApiError as error:
            if error.status != 403:
                raise
            return []
        return found


def _concerns(involved: JsonObject, child: ChildRecord, pods: set[str]) -> bool:
    """Whether an event is about the child, its Ray cluster or one of its pods."""
    name = involved.get("name", "")
    return name in pods or name == child.name or name.startswith(f"{child.name}-")
