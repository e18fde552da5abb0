"""What is tethered ends when its parent is killed."""

from __future__ import annotations

import subprocess
import sys

import psutil

PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "llmworkflow.local.tether", str(os.getpid()), "/bin/sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_parent_takes_its_child_along() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        _wait_for(child, "/bin/sleep")
        parent.kill()
    gone, alive = psutil.wait_procs([child], timeout=20)
    assert (len(gone), alive) == (1, [])


def _wait_for(process: psutil.Process, name: str) -> None:
    """Wait until the process has become the command that it was asked to be."""
    for _ in range(200):
        if process.cmdline()[:1] == [name]:
            return
        ended, _ = psutil.wait_procs([process], timeout=0.1)
        assert not ended, "the child ended by itself"
    raise AssertionError(f"{process} did not become {name} within 20 s")


def test_an_orphan_never_begins() -> None:
    command = [sys.executable, "-m", "llmworkflow.local.tether", "1", "/bin/sleep", "600"]
    ended = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True, timeout=30)
    assert ended.returncode == 1
    assert "ended before /bin/sleep began" in ended.stderr
