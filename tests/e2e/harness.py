"""Runs the command as a person does, in a home of its own, and looks at what it leaves there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import yaml

from llmworkflow.local.machine import free_port
from llmworkflow.local.ray_process import SESSION_VARIABLE

CLAIM = "demo"

Workflow = dict[str, Any]


class Command:
    """Runs `llmworkflow` in one home, and looks at what it leaves there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.volume = root / "volumes" / CLAIM
        self.port = free_port()
        self._started: list[subprocess.Popen[str]] = []

    def write(self, workflow: Workflow) -> Path:
        """The workflow as a file."""
        path = self.root / f"{workflow['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(workflow, sort_keys=False))
        return path

    def __call__(self, *arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run to the end; what it printed is shown should the test fail."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=timeout)
        print(f"$ llmworkflow {' '.join(map(str, arguments))}\n{output}[{process.returncode}]")
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def run(
        self, workflow: Workflow, *options: str, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """`run --local` with a port that is free."""
        return self(
            "run", self.write(workflow), "--local", "--port", str(self.port), *options, timeout=timeout
        )

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Run and do not wait."""
        process = subprocess.Popen(
            [sys.executable, "-m", "llmworkflow", *map(str, arguments)],
            env={**os.environ, "LLMWORKFLOW_HOME": str(self.root), "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(process)
        return process

    def status(self, name: str) -> dict[str, Any]:
        """The resource's status as `status -o json` prints it."""
        status: dict[str, Any] = json.loads(self("status", name, "-o", "json").stdout)["status"]
        return status

    def stages(self, name: str) -> dict[str, dict[str, Any]]:
        """The status of each stage by its name, read from disk while the workflow runs."""
        path = self.root / "workflows" / "default" / name / "status.json"
        return (
            {stage["name"]: stage for stage in json.loads(path.read_text())["stages"]}
            if path.exists()
            else {}
        )

    def driver(self, name: str) -> dict[str, Any]:
        """Who drives a workflow, as the driver itself wrote it."""
        path = self.root / "workflows" / "default" / name / "driver.json"
        driver: dict[str, Any] = json.loads(path.read_text())
        return driver

    def processes(self, name: str) -> list[psutil.Process]:
        """What is alive of the Ray that the latest driver of a workflow started."""
        session = self.driver(name)["session"]
        return [
            process
            for process in psutil.process_iter()
            if _environment(process).get(SESSION_VARIABLE) == session
        ]

    def engines(self, name: str) -> list[psutil.Process]:
        """The processes among them that are vLLM's engine."""
        return [
            process for process in self.processes(name) if "EngineCore" in " ".join(_command_line(process))
        ]

    def end(self) -> None:
        """End what this started."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(120)
            if process.stdout:  # of a process that was killed or waited for, and whose words nobody read
                process.stdout.close()
        for home in (self.root / "workflows").glob("*/*/driver.json"):
            self("stop", home.parent.name, timeout=180)


def wait_until(holds: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for something, and say what did not come when it did not."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(0.2)


def stage_of(workflow: Workflow, name: str) -> dict[str, Any]:
    """A stage of a workflow's file."""
    stage: dict[str, Any] = next(item for item in workflow["spec"]["stages"] if item["name"] == name)
    return stage


# A process may end while it is looked at; psutil lets the bare OSError of its files through now and then.


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.Error, OSError):
        return []
