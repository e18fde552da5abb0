"""When children of a workflow came, and when they were done, as a client of the API sees it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from .cluster import Pods

_LISTS = {"RayJob": "rayjobs", "RayService": "rayservices"}


@dataclass
class Timeline:
    """Seconds of this machine's clock, by the name of the child."""

    children: dict[str, dict[str, Any]] = field(default_factory=dict)  # as they were created
    created: dict[str, float] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)

    def gaps(self) -> list[float]:
        """From the end of each job to the creation of the child after it."""
        births = sorted(self.created.values())
        return [min(born for born in births if born > end) - end for end in sorted(self.done.values())]


@contextmanager
def watched(pods: Pods, namespace: str, timeline: Timeline) -> Iterator[None]:
    """Note what happens in a namespace meanwhile."""
    ended = threading.Event()
    watches = [
        threading.Thread(target=_watch, args=(pods, namespace, kind, timeline, ended), daemon=True)
        for kind in _LISTS.values()
    ]
    for watch in watches:
        watch.start()
    yield
    ended.set()


def _watch(pods: Pods, namespace: str, plural: str, timeline: Timeline, ended: threading.Event) -> None:
    place, query = (
        f"/apis/ray.io/v1/namespaces/{namespace}/{plural}",
        {"watch": "true", "timeoutSeconds": "1800"},
    )
    with (
        pods.client() as client,
        client.stream("GET", place, params=query, timeout=httpx.Timeout(10, read=None)) as events,
    ):
        for line in events.iter_lines():
            if ended.is_set():
                return
            _note(json.loads(line)["object"], timeline)


def _note(child: dict[str, Any], timeline: Timeline) -> None:
    name, now = child["metadata"]["name"], time.monotonic()
    timeline.children.setdefault(name, child)
    timeline.created.setdefault(name, now)
    if child.get("status", {}).get("jobDeploymentStatus") == "Complete":
        timeline.done.setdefault(name, now)
