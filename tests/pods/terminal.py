"""The installed command, as someone types it who has the cluster's kubeconfig."""

from __future__ import annotations

import os
import subprocess
import sys
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

    def _run(self, *words: str | Path, seconds: float, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"KUBECONFIG": str(self.pods.kubeconfig), "LLMWORKFLOW_HOME": str(self.folder), **variables}
        inherited = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
        return subprocess.run(
            [Path(sys.executable).with_name("llmworkflow"), *words, "--namespace", self.namespace],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=self.folder,
            env=inherited | own,
        )
