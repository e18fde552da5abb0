"""When children of a workflow came, and when they were done, as a client of the API sees it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
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

    def gaps(self, prefix: str = "") -> list[float]:
        """From the end of each job to the creation of the child after it, of children with such names.

        Nothing where the next child was there before KubeRay said that the job is complete.
        """
        born = sorted((time, name) for name, time in self.created.items() if name.startswith(prefix))
        return [max(0.0, next_ - self.done.get(name, next_)) for (_, name), (next_, _) in pairwise(born)]


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
