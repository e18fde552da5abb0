"""The engine's actor, with a note of when it is loaded, which Ray Data does not tell."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from llmworkflow_jobs.engine_actor import Engine

# The actor is on this machine.
READY = Path(tempfile.gettempdir()) / "llmworkflow-bench-ready"


class TimedEngine(Engine):
    """Writes the time into READY once it is loaded."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        READY.write_text(str(time.time()))
