"""Workflows that are right, to be tried as they are and after an edit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llmworkflow
from llmworkflow.api.yaml_reader import read_documents

_HERE = Path(__file__).parent / "examples"
_PACKAGE = Path(llmworkflow.__file__).parent

FULL = _HERE / "full.yaml"
WIDE = _HERE / "wide.yaml"
DEMO = _PACKAGE / "demo" / "workflow.yaml"
STARTER = _PACKAGE / "cli" / "starter.yaml"

EXAMPLES = [FULL, WIDE, DEMO]


def content(path: Path) -> dict[str, Any]:
    """The resource in a file, as JSON."""
    return read_documents(path.read_text())[0].value


def edited(path: Path, at: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The resource in a file with the value at a path replaced; a value of `...` removes it."""
    document = content(path)
    place = document
    for part in at[:-1]:
        place = place[part] if isinstance(place, list) else place.setdefault(part, {})
    if value is ...:
        del place[at[-1]]
    else:
        place[at[-1]] = value
    return document
