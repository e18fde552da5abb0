"""A Python environment of its own for a library that needs other versions than these jobs do, made once and kept.

It lies over the environment of the jobs: what it has comes first, all else, torch above all, is that of the jobs.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from llmworkflow_jobs.errors import JobError

# Where an image has the environments that were made with it.
IMAGE_ENV = "LLMWORKFLOW_ENVIRONMENTS"

# Told last, once all is installed.
_READY = "ready"

logger = logging.getLogger(__name__)


def python(name: str, packages: Sequence[str], cache: Path) -> Path:
    """The interpreter of the environment that has `packages`, all of which are pinned and none of whose needs follow.

    It is the image's, where that has just these packages, else one in `cache`.
    Raises ImageLacksPackage if they cannot be installed.
    """
    digest = hashlib.sha256("\n".join([sys.prefix, *packages]).encode()).hexdigest()[:12]
    brought = Path(os.environ.get(IMAGE_ENV, cache)) / f"{name}-{digest}"
    if (brought / _READY).exists():
        return brought / "bin" / "python"
    folder = cache / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _READY).exists():
            logger.info("installing %s into %s", name, folder)
            _make(folder, name, packages)
            (folder / _READY).touch()
    return folder / "bin" / "python"


def _make(folder: Path, name: str, packages: Sequence[str]) -> None:
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobError(
            "ImageLacksPackage",
            f"{name} cannot be installed, pip says: {_last_line(done.stderr)}; let pods reach a package index, "
            "such as that of PIP_INDEX_URL in ray.env",
            retryable=True,
        )
    paths = dict.fromkeys(sysconfig.get_path(scheme) for scheme in ("purelib", "platlib"))
    own = next(folder.glob("lib/python*/site-packages"))
    (own / "jobs.pth").write_text("".join(f"{path}\n" for path in paths))
    # That of the jobs would start processes in their environment.
    torchrun = folder / "bin" / "torchrun"
    torchrun.write_text(f"#!{folder}/bin/python\nfrom torch.distributed.run import main\n\nmain()\n")
    torchrun.chmod(0o755)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1]
