"""A Ray of the command's own, on loopback, which never outlives the command."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from llmworkflow.local.errors import LocalError
from llmworkflow.local.logs import session_logs
from llmworkflow.local.machine import HOST, bypass_proxies, check_machine, free_port

LOGICAL_CPUS = 16  # Ray Data and Serve reserve one for each of their actors: with two they wait for ever
START_SECONDS = 120
STOP_SECONDS = 15
OBJECT_STORE_BYTES = 512 * 1024**2
SESSION_VARIABLE = "LLMWORKFLOW_SESSION"  # every process of a session carries it, so that all can be found


@dataclass(frozen=True)
class RayAddress:
    """Where a running Ray answers."""

    session: str
    dashboard: str
    agent: str  # starts the jobs' drivers, and comes up last
    token: str
    folder: str

    @property
    def logs(self) -> Path:
        """Folder with the logs of the session."""
        return session_logs(self.folder)


class RayProcess:
    """`ray start --head --block` as a child that is told to end when this process ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.address: RayAddress | None = None

    def start(self, pythonpath: list[str]) -> RayAddress:
        """Start Ray and wait until it takes jobs.

        Raises:
            LocalError: the machine lacks memory or disk, or Ray did not come up.
        """
        check_machine(Path(tempfile.gettempdir()))
        bypass_proxies()
        session, token = secrets.token_hex(4), secrets.token_hex(32)
        folder = Path(tempfile.gettempdir()) / f"llmworkflow-{session}"  # short: sockets allow 107 bytes
        folder.mkdir(mode=0o700)
        for part in ("tmp", "work"):
            (folder / part).mkdir()
        dashboard_port, agent_port = free_port(), free_port()
        self.address = RayAddress(
            session, f"http://{HOST}:{dashboard_port}", f"http://{HOST}:{agent_port}", token, str(folder)
        )
        with (folder / "ray.out").open("wb") as output:
            self._process = subprocess.Popen(
                _command(folder, dashboard_port, agent_port),
                env=_environment(session, token, folder, pythonpath),
                cwd=folder / "work",  # Python would take a random.py of the user's folder for its own
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the command, which then stops Ray in order
            )
        self._wait_until_up(folder / "ray.out")
        return self.address

    def alive(self) -> bool:
        """Whether Ray still runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End Ray and everything it started, and remove its folder."""
        if self._process is None or self.address is None:
            return
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        clear_session(self.address.session, self.address.folder)
        self._process = None

    def _wait_until_up(self, output: Path) -> None:
        assert self.address is not None, "start sets the address first"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.address):
            if not self.alive() or time.monotonic() > deadline:
                ended = "ended" if not self.alive() else f"did not answer within {START_SECONDS} s"
                tail = output.read_text(errors="replace")[-1500:]
                self.stop()
                raise LocalError(f"Ray {ended} while starting; its last words:\n{tail}")
            time.sleep(0.1)


def clear_session(session: str, folder: str) -> None:
    """End whatever a session left behind, found by the mark in its environment, and remove its folder."""
    left = [process for process in psutil.process_iter() if _belongs(process, session)]
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


def _command(folder: Path, dashboard_port: int, agent_port: int) -> list[str]:
    ray = Path(sys.executable).with_name("ray")
    options = {
        "node-ip-address": HOST,
        "port": free_port(),
        "dashboard-host": HOST,
        "dashboard-port": dashboard_port,
        "dashboard-agent-listen-port": agent_port,
        "ray-client-server-port": free_port(),
        "num-cpus": max(LOGICAL_CPUS, os.cpu_count() or 1),
        "object-store-memory": OBJECT_STORE_BYTES,
        "temp-dir": folder,
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    tether = [sys.executable, "-m", "llmworkflow.local.tether", str(os.getpid())]
    return [*tether, str(ray), "start", "--head", "--block", "--disable-usage-stats", *flags]


def _environment(session: str, token: str, folder: Path, pythonpath: list[str]) -> dict[str, str]:
    """The environment of Ray and so of every job.

    On a CPU, vLLM would compile its sampler with a C++ compiler (TORCHDYNAMO_DISABLE) and take much of the
    machine's memory for its cache (VLLM_CPU_KVCACHE_SPACE, GiB).
    """
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "PYTHONPATH": ":".join(pythonpath),
        "TMPDIR": str(folder / "tmp"),  # engines leave files there, which go with the session
        SESSION_VARIABLE: session,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # what ran was withdrawn before
        "AUTOSCALER_METRIC_PORT": str(free_port()),  # fixed ports would clash with another Ray
        "DASHBOARD_METRIC_PORT": str(free_port()),
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
        "VLLM_NO_USAGE_STATS": "1",
    }


def _answers(address: RayAddress) -> bool:
    return _is_up(address, f"{address.agent}/api/local_raylet_healthz") and _is_up(
        address, f"{address.dashboard}/api/jobs/"
    )


def _is_up(address: RayAddress, url: str) -> bool:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {address.token}"})
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _belongs(process: psutil.Process, session: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(SESSION_VARIABLE) == session
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
