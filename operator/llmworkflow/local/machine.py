"""What this machine has to offer, and whether it is enough."""

import os
import shutil
import socket
from pathlib import Path

import psutil

from llmworkflow.local.errors import LocalError

HOST = "127.0.0.1"
MIN_MEMORY_BYTES = 4 * 1024**3  # an engine and a trainer of a small model, measured together
MIN_DISK_BYTES = 2 * 1024**3  # Ray's session and spilled objects; a small model's checkpoints


def check_machine(folder: Path) -> None:
    """Refuse to start where memory, or disk for what Ray writes, are too small.

    Raises:
        LocalError: names what is short, how much there is and how much it takes.
    """
    memory = psutil.virtual_memory().available
    if memory < MIN_MEMORY_BYTES:
        raise LocalError(
            f"{_gib(memory)} of memory are free, {_gib(MIN_MEMORY_BYTES)} are needed: end other programs, "
            "or run on a larger machine"
        )
    check_disk(folder, "TMPDIR")


def check_disk(folder: Path, variable: str) -> None:
    """Refuse a folder on a disk that is too small; `variable` names another one.

    Raises:
        LocalError: names the folder, how much there is and how much it takes.
    """
    disk = shutil.disk_usage(folder).free
    if disk < MIN_DISK_BYTES:
        raise LocalError(
            f"{_gib(disk)} of disk are free in {folder}, {_gib(MIN_DISK_BYTES)} are needed: free some, "
            f"or set {variable} to a folder on a larger disk"
        )


def check_port(port: int) -> None:
    """Refuse a port that another process has.

    Raises:
        LocalError: names the port and how to choose another.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise LocalError(
                f"port {port} on {HOST} is in use{_owner(port)}: stop that process, or choose another port "
                "with --port"
            ) from None


def bypass_proxies() -> None:
    """Have this process, and what it starts, speak to this machine directly, whatever proxy the environment names."""
    for name in ("no_proxy", "NO_PROXY"):
        known = [part for part in os.environ.get(name, "").split(",") if part]
        os.environ[name] = ",".join(dict.fromkeys([*known, HOST, "localhost"]))


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def has_gpu() -> bool:
    """Whether the NVIDIA driver offers a GPU."""
    return Path("/dev/nvidia0").exists()


def _owner(port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.pid:
            return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""


def _gib(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
