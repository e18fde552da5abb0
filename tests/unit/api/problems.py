"""What is said of the examples after edits, and the places in them that are edited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.validate import validate

from .examples import FULL, content

STAGES = ("spec", "stages")
TUNE = (*STAGES, 0, "fineTune")
BATCH = (*STAGES, 1, "batch")
GATES = (*STAGES, 1, "gates")
SERVED = (*STAGES, 2, "serve", "models", 0)
ELASTIC = {"min": 2, "max": 8}


def problems(*edits: tuple[tuple[str | int, ...], Any], path: Path = FULL, local: bool = False) -> list[str]:
    """Lines about an example after several edits."""
    document = content(path)
    for at, value in edits:
        place: Any = document
        for part in at[:-1]:
            place = place[part] if isinstance(place, list) else place.setdefault(part, {})
        place[at[-1]] = value
    return [str(problem) for problem in validate(parse_workflow(document), local)]
