"""A cluster of kind's, where a Docker engine runs."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.binaries import binary, built
from tests.cluster.images import build, saved

from .provider import Provider

# Of the same release as the other providers' programs; kind names its images in its release notes.
NODE_IMAGE = "kindest/node:v1.34.4"
CREATE_SECONDS, LOAD_SECONDS = 600, 900


class Kind(Provider):
    """`kind create cluster`, under a name of its own."""

    name = "kind"

    @staticmethod
    def prepare(images: Iterable[str]) -> None:
        built("kind")
        for name in images:
            build(name)

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cluster = f"llmworkflow-{uuid.uuid4().hex[:8]}"

    def create(self) -> None:
        self._kind("create", "cluster", "--image", NODE_IMAGE, "--wait", "180s", seconds=CREATE_SECONDS)

    @property
    def kubeconfig(self) -> Path:
        return self._folder / "kubeconfig"

    def load(self, name: str) -> None:
        build(name)
        with saved(name, self._folder) as archive:
            self._kind("load", "image-archive", str(archive), seconds=LOAD_SECONDS)

    def delete(self) -> None:
        self._kind("delete", "cluster", seconds=CREATE_SECONDS)

    def _kind(self, *arguments: str, seconds: float) -> None:
        named = ["--name", self._cluster]
        if arguments[1] == "cluster":
            named += ["--kubeconfig", str(self.kubeconfig)]
        subprocess.run([binary("kind", "kind"), *arguments, *named], check=True, timeout=seconds)
