"""How a text differs from another one, word by word."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

MOST_WORDS = 2000  # comparing takes the square of it; longer texts are shown as they are

_PIECE = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Segment:
    """A part of a text: in both, only here, or only in the other one."""

    kind: Literal["same", "added", "missing"]
    text: str


def difference(text: str, other: str) -> list[Segment]:
    """The text in segments, with what it lacks of the other one in its place."""
    ours, theirs = _PIECE.findall(text), _PIECE.findall(other)
    if max(len(ours), len(theirs)) > MOST_WORDS:
        return [Segment("same", text)]
    segments = []
    for kind, start, end, other_start, other_end in SequenceMatcher(
        None, theirs, ours, autojunk=False
    ).get_opcodes():
        if kind == "equal":
            segments.append(Segment("same", "".join(theirs[start:end])))
            continue
        if start < end:
            segments.append(Segment("missing", "".join(theirs[start:end])))
        if other_start < other_end:
            segments.append(Segment("added", "".join(ours[other_start:other_end])))
    return segments
