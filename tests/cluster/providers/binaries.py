"""A cluster of one node from programs alone, in a cell of this machine; for root on Linux, without an engine."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from tests.cluster import packages
from tests.cluster.api import Api, condition, eventually
from tests.cluster.binaries import built
from tests.cluster.control_plane import ControlPlane, Network
from tests.cluster.images import SANDBOX, STORE, build, reference, saved
from tests.cluster.programs import Program

from .accounting import close_accounts, open_accounts
from .cell import Cell
from .node import ADDRESS, NAME, Node
from .provider import Provider

NODE_SECONDS = 120
API_PORT = 6443  # the usual one, which the network policy of the operator lets out
# What the node is made of, beside the programs that are built here: by what is looked for, Debian's package of it.
NEEDS = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "ip": "iproute2",
}
PROGRAMS = ("etcd", "kubernetes", "coredns", "kube-router")
_DOOR = Path(__file__).with_name("door.py")


class Binaries(Provider):
    """etcd, the control plane and a node, all of them real."""

    name = "binaries"
    # Processors are not limited there, and two Ray clusters fit beside each other on two.
    values: ClassVar[dict[str, Any]] = {"jobs.head.cpu": "200m", "jobs.worker.cpu": "500m"}

    @staticmethod
    def prepare(images: Iterable[str]) -> None:
        packages.need(NEEDS)
        for module in PROGRAMS:
            built(module)
        for name in (SANDBOX, *images):
            build(name)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ending = ExitStack()
        self._cell = Cell(folder, (ADDRESS,), nameserver=ADDRESS)

    def create(self) -> None:
        assert os.geteuid() == 0, (
            "a cluster of programs takes root: run this with sudo, or start Docker for kind"
        )
        packages.need(NEEDS)
        self._ending.callback(close_accounts)
        open_accounts()
        self._ending.callback(self._cell.stop)
        self._cell.start()
        network = Network(ADDRESS, tuple(self._cell.enter), API_PORT)
        self.control_plane = ControlPlane(self._folder, network=network)
        port = self.control_plane.port
        self._cell.lead(port, API_PORT)
        door = Program("door", [sys.executable, _DOOR, str(port), str(self._cell.network)], self._folder)
        self._ending.callback(door.stop)
        door.start()
        self._ending.callback(self.control_plane.stop)
        self.control_plane.start()
        self.node = Node(self._folder, self._cell, self.kubeconfig, self._images())
        self._ending.callback(self.node.stop)
        self.node.start()
        self.load(SANDBOX)
        self.node.join()
        with self.control_plane.http() as client:
            eventually(lambda: _ready(Api(client)), NODE_SECONDS, "the node is ready")
        self.node.enforce()

    @property
    def kubeconfig(self) -> Path:
        return self.control_plane.kubeconfig

    def load(self, name: str) -> None:
        digest = build(name)
        if not self.node.has(digest):
            with saved(name, self._folder) as archive:
                self.node.load(reference(name), digest, archive)

    def _images(self) -> Path:
        """What the nodes of this machine keep for each other, which is this one's as long as its process lives."""
        folder = STORE / "node"
        folder.mkdir(parents=True, exist_ok=True)
        lock = self._ending.enter_context((folder / ".lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder

    def delete(self) -> None:
        self._ending.close()


def _ready(api: Api) -> bool:
    node = api.get("Node", NAME)
    return node is not None and condition(node, "Ready").get("status") == "True"
