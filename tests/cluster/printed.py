"""What the documentation prints for people to type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def commands(file: str, heading: str) -> str:
    """The last block of commands below a heading."""
    _, found, section = (ROOT / file).read_text().partition(f"# {heading}\n")
    assert found, f"{file} has no section {heading}"
    below = re.split(r"\n##+ ", section)[0]
    blocks = re.findall(r"```console\n(.*?)```", below, re.DOTALL)
    assert blocks, f"{file}, section {heading}, prints no commands"
    return str(blocks[-1])
