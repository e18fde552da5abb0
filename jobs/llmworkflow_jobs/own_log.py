"""The end of what this job has printed, to be kept where it outlives the job's pods."""

from __future__ import annotations

import os
import sys

MAX_BYTES = 16 * 1024
STDOUT = "/proc/self/fd/1"


def tail(path: str = STDOUT) -> str:
    """The last whole lines of standard output, where that goes to a file, as Ray has it; else nothing."""
    sys.stdout.flush()
    try:
        if not os.path.isfile(path):
            return ""
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - MAX_BYTES))
            content = file.read(MAX_BYTES)
    except OSError:
        return ""  # a log that cannot be read is no reason to fail
    if size > MAX_BYTES:
        content = content.partition(b"\n")[2]
    return content.decode(errors="replace")
