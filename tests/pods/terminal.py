"""The installed command, as someone types it who has the cluster's kubeconfig."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .cluster import COMMAND_SECONDS, Pods


@dataclass(frozen=True)
class Terminal:
    """A shell in a folder of its own, whose commands are about one namespace."""

    pods: Pods
    namespace: str
    folder: Path

    def types(self, *words: str | Path, seconds: float = COMMAND_SECONDS, **variables: str) -> str:
        """What `llmworkflow` prints, which ends well and has no complaint."""
        done = self._run(*words, seconds=seconds, **variables)
        assert (done.returncode, done.stderr) == (0, ""), f"{words}: {done}"
        return done.stdout

    def fails(self, *words: str | Path, **variables: str) -> str:
        """What it complains of, for people."""
        done = self._run(*words, seconds=COMMAND_SECONDS, **variables)
        assert done.returncode == 1, f"{words}: {done}"
        assert "Traceback" not in done.stderr
        return done.stderr

    @contextmanager
    def beside(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A command that runs while others are typed."""
        with subprocess.Popen(
            self._command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self._environment(),
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def _run(self, *words: str | Path, seconds: float, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*words),
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=self.folder,
            env=self._environment() | variables,
        )

    def _command(self, *words: str | Path) -> list[str | Path]:
        return [Path(sys.executable).with_name("llmworkflow"), *words, "--namespace", self.namespace]

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
        return inherited | {"KUBECONFIG": str(self.pods.kubeconfig), "LLMWORKFLOW_HOME": str(self.folder)}
