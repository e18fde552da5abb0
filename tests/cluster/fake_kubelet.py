"""A kubelet that only pretends: it has nodes with GPUs, and says of their pods whatever a test tells it to say."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from llmworkflow.local.machine import HOST

from . import pod_status
from .api import UNAVAILABLE, Api, ApiError
from .fates import Crashes, Evicted, Fate, ImagePullFails, NeverStarts, NotAttached, Runs
from .references import missing

PERIOD_SECONDS = 0.2
PREFIX = "fake-"
# Of Ray's names: those that the samples ask for. The labels are those of NVIDIA's feature discovery.
GPUS = {"l4": "NVIDIA-L4", "a100": "NVIDIA-A100-SXM4-80GB", "h100": "NVIDIA-H100-80GB-HBM3", "t4": "Tesla-T4"}
GPUS_PER_NODE = 64
_GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}

Pod = dict[str, Any]

logger = logging.getLogger(__name__)


@dataclass
class _Life:
    """One pod, as long as it is there."""

    address: str
    since: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    started: float | None = None
    restarts: int = 0
    written: pod_status.Status | None = None
    told: set[str] = field(default_factory=set)


@dataclass
class _Rule:
    namespace: str
    labels: dict[str, str]
    fate: Fate
    times: int | None
    met: set[str] = field(default_factory=set)

    def is_for(self, pod: Pod) -> bool:
        metadata = pod["metadata"]
        named = self.labels.items() <= metadata.get("labels", {}).items()
        if metadata["namespace"] != self.namespace or not named:
            return False
        if self.times is None or len(self.met) < self.times:
            self.met.add(metadata["uid"])
        return metadata["uid"] in self.met


class FakeKubelet:
    """Runs in a thread; an API server that is away is asked again until it is back."""

    def __init__(
        self, api: Api, serves: Callable[[Pod], bool], restarted: Callable[[Pod], None], port: int = 0
    ) -> None:
        self._api, self._serves, self._restarted, self._port = api, serves, restarted, port
        self._rules: list[_Rule] = []
        self._lives: dict[str, _Life] = {}
        self._addresses = (f"198.18.{n // 250}.{n % 250 + 1}" for n in itertools.count())
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake-kubelet", daemon=True)

    def start(self) -> None:
        """Join the cluster with a node of every kind, and look after their pods from now on."""
        self.add_node("cpu")
        for name in GPUS:
            self.add_node(name)
        self._thread.start()

    def stop(self) -> None:
        """Leave the pods to themselves."""
        self._end.set()
        self._thread.join(10)

    def tell(self, namespace: str, fate: Fate, times: int | None = None, **labels: str) -> None:
        """Let pods of a namespace have a fate: all of them, or the first few. What was told last counts.

        Labels narrow it down: `node_type="worker"` is Ray's label `ray.io/node-type`.
        """
        named = {f"ray.io/{key.replace('_', '-')}": value for key, value in labels.items()}
        self._rules.insert(0, _Rule(namespace, named, fate, times))

    def add_node(self, kind: str, gpus: int = GPUS_PER_NODE) -> None:
        """Let a node join: `cpu`, or one of GPUS with as many GPUs as are named."""
        name, size = (
            f"{PREFIX}{kind}",
            {"cpu": "2000", "memory": "8Ti", "pods": "5000", "ephemeral-storage": "8Ti"},
        )
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        taints: list[dict[str, str]] = []
        if kind in GPUS:
            labels |= {"nvidia.com/gpu.product": GPUS[kind], "nvidia.com/gpu.present": "true"}
            size |= {"nvidia.com/gpu": str(gpus)}
            taints = [_GPU_TAINT]
        self._api.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        status = {"capacity": size, "allocatable": size, "conditions": [ready]}
        status |= {"addresses": [{"type": "InternalIP", "address": HOST}]}
        status |= {"daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}}}
        self._api.patch("Node", name, None, {"status": status}, "status")
        # A new node has a taint, which a controller takes away that is not run here: it would miss the heartbeats.
        self._api.patch("Node", name, None, {"spec": {"taints": taints}})

    def lose_node(self, kind: str) -> None:
        """Let a node vanish with its pods, as when a cloud takes it back."""
        name = f"{PREFIX}{kind}"
        self._api.delete("Node", name)
        for pod in self._api.list("Pod"):
            if pod["spec"].get("nodeName") == name:
                self._remove(pod)

    def address_of(self, address: str) -> Pod | None:
        """The pod that has an address."""
        pods = self._api.list("Pod")
        return next((pod for pod in pods if pod.get("status", {}).get("podIP") == address), None)

    def _run(self) -> None:
        while not self._end.wait(PERIOD_SECONDS):
            try:
                pods = self._api.list("Pod")
            except (ApiError, *UNAVAILABLE):
                continue
            for pod in pods:
                if pod["spec"].get("nodeName", "").startswith(PREFIX):
                    self._try(pod)
            there = {pod["metadata"]["uid"] for pod in pods}
            self._lives = {uid: life for uid, life in self._lives.items() if uid in there}

    def _try(self, pod: Pod) -> None:
        """Look after a pod; others do not wait for it where that is refused, such as in a namespace that ends."""
        try:
            self._look_after(pod)
        except (ApiError, *UNAVAILABLE) as error:
            logger.warning("the fake kubelet was refused: %s", error)

    def _look_after(self, pod: Pod) -> None:
        if pod["metadata"].get("deletionTimestamp"):
            return self._remove(pod)
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return None
        uid = pod["metadata"]["uid"]
        life = self._lives.get(uid) or _Life(pod["status"].get("podIP") or next(self._addresses))
        self._lives[uid] = life
        status = self._status(pod, life)
        if status != life.written:
            try:
                self._patch(pod, status)
            except ApiError as error:
                if error.status != 404:  # gone meanwhile
                    raise
            life.written = status
        return None

    def _status(self, pod: Pod, life: _Life) -> pod_status.Status:
        fate = next((rule.fate for rule in self._rules if rule.is_for(pod)), Runs())
        if life.started is None and (waits := self._waits(pod, life, fate)):
            return waits
        if life.started is None:
            life.started = time.monotonic()
        lived = time.monotonic() - life.started
        match fate:
            case Evicted(after, why) if lived >= after:
                self._restarted(pod)  # what takes its place knows as little
                return pod_status.evicted(pod, life.since, why)
            case Crashes(after) if lived >= after:
                return self._crashed(pod, life, fate)
        return self._running(pod, life)

    def _waits(self, pod: Pod, life: _Life, fate: Fate) -> pod_status.Status | None:
        """The status of a pod that cannot start yet."""
        namespace = pod["metadata"]["namespace"]
        if isinstance(fate, NeverStarts):
            return pod_status.waiting(pod, life.since, "ContainerCreating")
        if isinstance(fate, NotAttached):
            self._event(pod, life, "FailedAttachVolume", fate.why)
            return pod_status.waiting(pod, life.since, "ContainerCreating")
        if isinstance(fate, ImagePullFails):
            image = pod["spec"]["containers"][0]["image"]
            self._event(pod, life, "Failed", f'Failed to pull image "{image}": {fate.why}')
            why = f'Back-off pulling image "{image}": ErrImagePull: {fate.why}'
            return pod_status.waiting(pod, life.since, "ImagePullBackOff", why)
        if lacks := missing(pod, lambda kind, name: self._api.get(kind, name, namespace)):
            self._event(pod, life, lacks.event, lacks.message)
            return pod_status.waiting(pod, life.since, lacks.reason, lacks.message.removeprefix("Error: "))
        return None

    def _crashed(self, pod: Pod, life: _Life, fate: Crashes) -> pod_status.Status:
        last = pod_status.ended(life.since, fate.exit_code, fate.reason)
        if pod["spec"].get("restartPolicy") == "Never":
            return pod_status.over(pod, life.since, last)
        if not life.restarts:
            life.restarts = 1
            self._restarted(pod)
        if fate.again:
            why = f"back-off 10s restarting failed container={pod['spec']['containers'][0]['name']}"
            return pod_status.waiting(pod, life.since, "CrashLoopBackOff", why, restarts=1, last=last)
        return self._running(pod, life, last)

    def _running(self, pod: Pod, life: _Life, last: pod_status.Status | None = None) -> pod_status.Status:
        ready = self._serves(pod)
        return pod_status.running(
            pod, life.address, life.since, ready=ready, restarts=life.restarts, last=last
        )

    def _patch(self, pod: Pod, status: pod_status.Status) -> None:
        metadata = pod["metadata"]
        self._api.patch("Pod", metadata["name"], metadata["namespace"], {"status": status}, "status")

    def _remove(self, pod: Pod) -> None:
        metadata = pod["metadata"]
        self._api.delete("Pod", metadata["name"], metadata["namespace"], gracePeriodSeconds=0)

    def _event(self, pod: Pod, life: _Life, reason: str, message: str) -> None:
        """Tell of a trouble, once."""
        if message in life.told:
            return
        life.told.add(message)
        metadata = pod["metadata"]
        about = {"kind": "Pod", "apiVersion": "v1"} | {
            key: metadata[key] for key in ("name", "namespace", "uid")
        }
        self._api.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
                "involvedObject": about,
                "type": "Warning",
                "reason": reason,
                "message": message,
                "source": {"component": "kubelet", "host": pod["spec"]["nodeName"]},
                "firstTimestamp": life.since,
                "lastTimestamp": life.since,
                "count": 1,
            }
        )
