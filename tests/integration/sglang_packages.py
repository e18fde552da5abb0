"""SGLang as users bring it by `ray.pip`, less its kernels for GPUs: without them it answers on a CPU, slowly."""

from __future__ import annotations

import json
from pathlib import Path

from llmworkflow_jobs import overlay

# What it imports on a CPU beside what the jobs have; the newest of 2026-11.
_PACKAGES = (
    "sglang==0.5.23",
    "orjson==3.13.0",
    "gguf==0.19.0",
    "ipython==9.18.1",
    "ipython_pygments_lexers==1.1.1",
    "asttokens==3.0.2",
    "executing==2.3.0",
    "jedi==0.20.1",
    "matplotlib_inline==0.2.2",
    "parso==0.8.7",
    "pexpect==4.9.0",
    "prompt_toolkit==3.0.53",
    "ptyprocess==0.7.0",
    "pure_eval==0.2.4",
    "stack_data==0.6.3",
    "traitlets==5.16.1",
    "wcwidth==0.9.4",
)


def environment() -> dict[str, str]:
    """Variables of a job whose driver and workers have SGLang, as with `ray.pip`; it is installed the first time."""
    python = overlay.python("sglang", _PACKAGES, Path.home() / ".cache" / "llmworkflow")
    (packages,) = python.parent.parent.glob("lib/python*/site-packages")
    path = {"PYTHONPATH": str(packages)}
    return path | {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {"env_vars": path}})}
