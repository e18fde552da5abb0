"""What a cluster of programs starts ends with the process that started it, also where that is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
from tests.cluster.api import eventually

_SCRIPT = """
import sys
from pathlib import Path
from tests.cluster.programs import Program
from tests.cluster.providers.cell import Cell
cell = Cell(Path(sys.argv[1]), ("198.18.255.1",), nameserver="198.18.255.1")
cell.start()
Program("daemon", [*cell.enter, "setsid", "--fork", "sleep", "54321.5"], Path(sys.argv[1])).start()
sys.stdin.read()
"""
SLEEP = ["sleep", "54321.5"]


def test_a_killed_owner_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as owner:
        eventually(sleepers, 30, "a program in the cell that has left its parents")
        owner.kill()
    eventually(lambda: not sleepers(), 30, "it is gone")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def sleepers() -> list[psutil.Process]:
    """The programs that the test started."""
    return [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == SLEEP]
