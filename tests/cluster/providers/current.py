"""The cluster that KUBECONFIG names. It is somebody's: nothing in it is started or ended here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .provider import Provider

VARIABLE = "KUBECONFIG"
# Read when the tests are collected: while they run, none shall reach a cluster of the person who runs them by accident.
_KUBECONFIG = Path(os.environ.get(VARIABLE) or "~/.kube/config").expanduser()


class Current(Provider):
    """A cluster that is there already, with the images of tests/cluster/images.py on its nodes or in its registry."""

    name = "current"
    kubeconfig = _KUBECONFIG
    values = {"jobs.head.cpu": "200m", "jobs.worker.cpu": "500m"}

    @staticmethod
    def prepare(images: Iterable[str]) -> None:
        """Nothing: who owns the cluster has loaded its images."""

    def __init__(self, folder: Path) -> None:
        pass

    def create(self) -> None:
        assert self.kubeconfig.is_file(), f"{VARIABLE} names {self.kubeconfig}, which is no file"

    def load(self, name: str) -> None:
        """Nothing, as above."""

    def delete(self) -> None:
        """Nothing: it was there before."""
