"""What the documentation prints for people to type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def commands(file: str, heading: str) -> str:
    """The last block of commands in a section."""
    _, found, section = (ROOT / file).read_text().partition(f"\n## {heading}\n")
    assert found, f"{file} has no section {heading}"
    blocks = re.findall(r"```console\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert blocks, f"{file}, section {heading}, prints no commands"
    return str(blocks[-1])
