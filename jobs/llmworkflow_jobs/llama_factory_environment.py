"""The environments that LLaMA-Factory runs in; as a program, `python -m`, this puts them into an image.

It needs older versions than the jobs do, and its PPO an older TRL than the rest of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from llmworkflow_jobs import overlay

# The newest that runs through Ray Train, as YAML files of its time expect, and what it needs beside what the jobs have.
_PACKAGES = (
    "llamafactory==0.9.4",
    "transformers==4.57.1",
    "tokenizers==0.22.1",
    "huggingface-hub==0.36.0",
    "peft==0.17.1",
    "accelerate==1.11.0",
    "datasets==4.0.0",
    "fsspec==2025.3.0",
    "dill==0.3.8",
    "multiprocess==0.70.16",
    "fire==0.7.1",
    "termcolor==3.2.0",
    "omegaconf==2.3.0",
    "antlr4-python3-runtime==4.9.3",
    "tyro==0.8.14",
    "docstring-parser==0.17.0",
    "shtab==1.7.2",
    "hf-transfer==0.1.9",
    "torchdata==0.11.0",
    "matplotlib==3.10.7",
    "contourpy==1.3.3",
    "cycler==0.12.1",
    "fonttools==4.60.1",
    "kiwisolver==1.4.9",
    "pyparsing==3.2.5",
)
_TRL = "trl==0.24.0"
# PPO is made from a trainer that later releases have no more; it asks for 0.8.6 to 0.9.6.
_TRL_OF_PPO = "trl==0.9.6"


def python(stage: str, cache: Path) -> Path:
    """The interpreter for a `stage` of its YAML. Raises JobError."""
    return overlay.python("llamafactory", (*_PACKAGES, _TRL_OF_PPO if stage == "ppo" else _TRL), cache)


if __name__ == "__main__":
    for stage in ("sft", "ppo"):
        python(stage, Path(os.environ[overlay.IMAGE_ENV]))
