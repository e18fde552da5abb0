"""The job code that runs inside Ray: the same files that a cluster mounts."""

import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path

PACKAGE = "llmworkflow_jobs"


@cache
def code_folder() -> Path:
    """The folder of the job code's package."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec and spec.origin, "the package is installed together with this one"
    return Path(spec.origin).parent


@cache
def code_files() -> dict[str, str]:
    """The job code's files: their texts by their names."""
    return {path.name: path.read_text() for path in sorted(code_folder().glob("*.py"))}


@cache
def code_digest() -> str:
    """Digest of the job code's files."""
    return hashlib.sha256(json.dumps(code_files()).encode()).hexdigest()[:16]
