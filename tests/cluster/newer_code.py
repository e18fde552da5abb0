"""A newer version of the project: other job code, other manifests, and a field more in every kind of stage."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FIELD = '    newer: Result[bool] = True\n    """What an older version does not have."""\n'
# Models that get the field, by file: of results and of judgements, of jobs and of endpoints.
_MODELS = {
    "model.py": ("Model", "Prompt", "Storage"),
    "common.py": ("RaySettings",),
    "fine_tune.py": ("Training",),
    "batch.py": ("Evaluate",),
    "serve.py": ("ServedModel", "Serve"),
    "stage.py": ("Gate", "Approval", "Stage"),
}


def make_newer(folder: Path) -> Path:
    """A copy of both packages below a folder, changed as a new version may be; returns what to put on PYTHONPATH."""
    for package in (ROOT / "operator" / "llmworkflow", ROOT / "jobs" / "llmworkflow_jobs"):
        shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / "llmworkflow_jobs").glob("*.py"):
        path.write_text(f"{path.read_text()}\nNEWER = True\n")
    pod = folder / "llmworkflow" / "render" / "templates" / "pod.yaml.j2"
    pod.write_text(pod.read_text().replace("spec:\n", "spec:\n  enableServiceLinks: false\n", 1))
    for name, models in _MODELS.items():
        path = folder / "llmworkflow" / "api" / "spec" / name
        path.write_text(_with_field(path.read_text(), models))
    return folder


def crd_of(code: Path) -> str:
    """The definition of workflows that belongs to the code."""
    command = [sys.executable, "-c", "from llmworkflow.api import crd; print(crd.manifest())"]
    done = subprocess.run(command, env={"PYTHONPATH": str(code)}, capture_output=True, text=True, check=True)
    return done.stdout


def _with_field(text: str, models: tuple[str, ...]) -> str:
    for model in models:
        head = re.compile(rf'(class {model}\(SpecModel\):\n    """.*?"""\n)', re.DOTALL)
        text, count = head.subn(rf"\g<1>\n{_FIELD}", text)
        assert count == 1, f"there is no model {model}"
    return text
