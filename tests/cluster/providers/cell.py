"""A cell: a network, mounts and processes of its own, all of which end with the process that made it.

The kernel sees to that: the first process of the cell is killed when the maker ends, however it ends, and with the
first process of a PID namespace go all others, the mounts and the network. Nothing in a cell reaches the outside.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
from tests.cluster.programs import Program

START_SECONDS, STOP_SECONDS = 20, 60
_INIT = Path(__file__).with_name("init.py")
_SPACES = {"net": "net", "mount": "mnt", "pid": "pid"}
_PRIVATE = ("run", "var/log", "var/lib/cni", "var/tmp")  # of the machine, and for the cell its own


class Cell:
    """Runs programs in namespaces of their own."""

    def __init__(self, folder: Path, addresses: tuple[str, ...], nameserver: str) -> None:
        self._folder = folder
        self._addresses = addresses
        self._nameserver = nameserver
        self._init = Program("cell", [sys.executable, _INIT], folder)

    def start(self) -> None:
        """Make it, with its addresses on a loopback device that only the cell has."""
        self._init.start()
        self._init.wait_until(self._first_process, START_SECONDS, "the cell has its first process")
        resolver = self._folder / "resolv.conf"
        resolver.write_text(f"nameserver {self._nameserver}\nsearch svc.cluster.local cluster.local\n")
        self.run("mount", "--bind", resolver, "/etc/resolv.conf")
        for place in _PRIVATE:
            own = self._folder / "private" / place
            own.mkdir(parents=True)
            Path("/", place).mkdir(parents=True, exist_ok=True)
            self.run("mount", "--bind", own, f"/{place}")
        self.run("ip", "link", "set", "lo", "up")
        for address in self._addresses:
            self.run("ip", "address", "add", f"{address}/32", "dev", "lo")

    def lead(self, port: int, target: int) -> None:
        """Lead who connects to a port of its loopback to another one."""
        rule = f"-o lo -p tcp --dport {port} -j REDIRECT --to-ports {target}"
        self.run("iptables", "-t", "nat", "-A", "OUTPUT", *rule.split())

    def stop(self) -> None:
        """End everything in it; its first process ends after all the others."""
        first = self._first_process()
        self._init.stop()
        with suppress(psutil.NoSuchProcess):
            psutil.Process(first).wait(STOP_SECONDS)

    @property
    def enter(self) -> list[str]:
        """What makes a command run in the cell; it ends when its caller ends it."""
        process = self._first_process()
        assert process, "the cell has ended"
        spaces = [f"--{space}=/proc/{process}/ns/{kind}" for space, kind in _SPACES.items()]
        return [_tool("nsenter"), *spaces, "--", "setpriv", "--pdeathsig", "TERM"]

    def run(self, *command: str | Path, seconds: float = 60) -> str:
        """Run a command in it, and return what it prints."""
        parts = [*self.enter, *map(str, command)]
        done = subprocess.run(parts, check=False, capture_output=True, text=True, timeout=seconds)
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
        return done.stdout

    @property
    def network(self) -> Path:
        """The network namespace, for a process outside to enter."""
        return Path(f"/proc/{self._first_process()}/ns/net")

    def _first_process(self) -> int | None:
        children = psutil.Process(self._init.pid).children()
        return next((child.pid for child in children if _own_proc(child.pid)), None)


def _own_proc(process: int) -> bool:
    """Whether the process has mounted what it mounts last."""
    mounts = Path(f"/proc/{process}/mounts").read_text().splitlines()
    return sum(line.split()[1] == "/proc" for line in mounts) > 1


def _tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"there is no {name} on this machine; install util-linux"
    return found
