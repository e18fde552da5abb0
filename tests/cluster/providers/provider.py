"""What every provider of a cluster does, and which one is taken."""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

VARIABLE = "LLMWORKFLOW_CLUSTER"


class Provider(ABC):
    """A cluster that runs pods; KubeRay and the operator are installed by whoever uses it."""

    name: str
    values: ClassVar[dict[str, Any]] = {}
    """What the operator's chart is installed with there, beside manifests/kind/values.yaml."""

    @staticmethod
    @abstractmethod
    def prepare(images: Iterable[str]) -> None:
        """Build the programs and images that it takes where they are not in the cache, and say so meanwhile."""

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """It may keep files in the folder, and starts nothing yet."""

    @abstractmethod
    def create(self) -> None:
        """Start it, and return when its node is ready."""

    @property
    @abstractmethod
    def kubeconfig(self) -> Path:
        """The kubeconfig of someone who may do everything."""

    @abstractmethod
    def load(self, name: str) -> None:
        """Give its nodes an image of tests/cluster/images.py."""

    @abstractmethod
    def delete(self) -> None:
        """End it, with all that it started."""


def chosen() -> type[Provider]:
    """The provider that the environment names; else kind where a Docker engine runs, else binaries."""
    from .binaries import Binaries
    from .current import Current
    from .kind import Kind

    providers: dict[str, type[Provider]] = {found.name: found for found in (Binaries, Current, Kind)}
    wanted = os.environ.get(VARIABLE) or ("kind" if _docker_runs() else "binaries")
    assert wanted in providers, f"{VARIABLE} is {wanted!r}; choose one of {', '.join(sorted(providers))}"
    return providers[wanted]


def _docker_runs() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=30).returncode == 0
