"""Debian's packages that a cluster of programs and its images take: installed where they are missing."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

INSTALL = Path(__file__).parents[2] / "scripts" / "apt-install"
SECONDS = 15 * 60
_OF_ROOT = "/usr/local/sbin:/usr/sbin:/sbin"  # where others do not look for programs


def need(packages: Mapping[str, str]) -> None:
    """Have these packages, each by a program or a file of it; what can only be installed by root is said."""
    if absent := missing(packages):
        done = subprocess.run(
            [INSTALL, *absent], check=False, capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == 0, done.stderr


def missing(packages: Mapping[str, str]) -> list[str]:
    """The packages whose program or file is not there."""
    return sorted({package for found, package in packages.items() if not _is_there(found)})


def _is_there(found: str) -> bool:
    return Path(found).exists() if found.startswith("/") else bool(shutil.which(found, path=_places()))


def _places() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), _OF_ROOT))
