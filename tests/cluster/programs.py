"""Programs that the tests start: each with a log of its own, and ended with the tests, however those end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 20


class Program:
    """One program, which may be stopped, killed and started again."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [str(part) for part in command]
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; the kernel ends it when this process ends."""
        tether = [sys.executable, "-m", "llmworkflow.local.tether", str(os.getpid())]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*tether, *self._command],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    def stop(self) -> None:
        """End it in order, or by force where that takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def wait_until(self, holds: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for something that the program does; its log is quoted should it not come."""
        deadline = time.monotonic() + seconds
        while not holds():
            if not self.alive or time.monotonic() > deadline:
                last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                ended = "" if self.alive else f", and {self.name} has ended"
                raise TimeoutError(f"still not: {what}{ended}; its last words:\n{last}")
            time.sleep(0.1)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
