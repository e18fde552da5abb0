"""What is wrong with a workflow: where, with which value, and what to do about it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

Path = tuple[str | int, ...]

SHOWN_CHARACTERS = 60  # of a value; enough to recognise it in a file
PRIVATE_FIELDS = frozenset({"env", "headers", "args"})  # may hold secrets, so their values are never shown


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a workflow, in a line that a person can act on."""

    path: Path
    message: str
    remedy: str = ""
    value: Any = None
    line: int | None = None

    @property
    def field(self) -> str:
        """The path as written in messages, such as `spec.stages[1].batch.input.uri`."""
        return format_path(self.path)

    def at(self, line: int | None) -> "Problem":
        """The same problem, found on this line of a file."""
        return replace(self, line=line)

    def __str__(self) -> str:
        subject = " = ".join(part for part in (self.field, self._shown_value()) if part)
        told = "; ".join(part for part in (self.message, self.remedy) if part)
        return ": ".join(part for part in (subject, told) if part)

    def _shown_value(self) -> str:
        private = any(part in PRIVATE_FIELDS for part in self.path)
        if private or not isinstance(self.value, str | int | float):
            return ""
        text = json.dumps(self.value, ensure_ascii=False)
        return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


class InvalidWorkflow(ValueError):  # noqa: N818 -- reads as what it is
    """A workflow that cannot be used; `problems` says why, one line each."""

    def __init__(self, problems: Iterable[Problem], source: str = "") -> None:
        self.problems = list(problems)
        self.source = source
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line a problem, with the file and the line in it where they are known: `FILE:LINE: problem`."""
        return [self._place(problem) + str(problem) for problem in self.problems]

    def _place(self, problem: Problem) -> str:
        if problem.line is None:
            return f"{self.source}: " if self.source else ""
        return f"{self.source}:{problem.line}: " if self.source else f"line {problem.line}: "


def format_path(path: Path) -> str:
    """A path with dots between names and brackets around positions."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known word, or all of them where none is near."""
    choices = sorted(known)
    spelling = {choice.lower(): choice for choice in choices}
    near = get_close_matches(word.lower(), spelling, n=1)
    if near:
        return f"did you mean {spelling[near[0]]}?"
    return f"use one of {', '.join(choices)}" if choices else ""
