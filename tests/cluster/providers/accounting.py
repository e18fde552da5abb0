"""Where the kernel accounts for the pods of a cluster: a folder under each controller, named after the process."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_CONTROLLERS = Path("/sys/fs/cgroup")
_PREFIX = "llmworkflow-"
NAME = f"{_PREFIX}{os.getpid()}"
# The kernel gives a folder as much time as one process beside it; pods have many, and start in vain where all is slow.
_PROCESSES = 10
_WEIGHTS = {"cpu.shares": 1024, "cpu.weight": 100}  # of one process, in the first version and in the second


def open_accounts() -> None:
    """Make the folders, and remove those of processes that were killed before they could."""
    for left in _CONTROLLERS.glob(f"*/{_PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(_PREFIX)).exists():
            _remove(left)
    for controller in _controllers():
        (controller / NAME).mkdir(exist_ok=True)
        for name, weight in _WEIGHTS.items():
            if (file := controller / NAME / name).exists():
                file.write_text(str(_PROCESSES * weight))


def close_accounts() -> None:
    """Remove them; nothing runs any more."""
    for controller in _controllers():
        _remove(controller / NAME)


def _controllers() -> list[Path]:
    """Of the first version, where each has a tree of its own; else the one tree of the second."""
    unified = (_CONTROLLERS / "cgroup.controllers").exists()
    return [_CONTROLLERS] if unified else [path for path in _CONTROLLERS.iterdir() if not path.is_symlink()]


def _remove(folder: Path) -> None:
    command: list[str | Path] = ["find", folder, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"]
    subprocess.run(command, check=False, timeout=60)
