"""The documents of the repository, as a reader of Markdown sees them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md"), *ROOT.glob("charts/*/*.md"))
)  # fmt: skip

_MARKDOWN = MarkdownIt("gfm-like", {"linkify": False})


@cache
def tokens(name: str) -> list[Token]:
    """All tokens of a document, those within lines after the line they are in."""
    found: list[Token] = []
    for token in _MARKDOWN.parse((ROOT / name).read_text()):
        found += [token, *(token.children or ())]
    return found


def links(name: str) -> Iterator[str]:
    """Where a document's links and images lead."""
    for token in tokens(name):
        target = token.attrGet("href") or token.attrGet("src")
        if target:
            yield str(target)


def anchors(name: str) -> set[str]:
    """What may follow # in a link to a document: its headings, as GitHub makes them anchors."""
    found = tokens(name)
    headings = [after.content for token, after in pairwise(found) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def fences(name: str, language: str) -> list[str]:
    """The blocks of a language."""
    return [token.content for token in tokens(name) if token.type == "fence" and token.info == language]


def commands(name: str) -> Iterator[list[str]]:
    """The words of every command in a document: in blocks for a console, and in code within lines."""
    blocks = [block.replace("\\\n", " ") for block in (*fences(name, "console"), *fences(name, "bash"))]
    spans = [token.content for token in tokens(name) if token.type == "code_inline"]
    for line in [line for block in blocks for line in block.splitlines()] + spans:
        for command in re.split(r"\s(?:\||&&)\s", line.removeprefix("$ ")):
            yield from _words(command)


def _words(command: str) -> Iterator[list[str]]:
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # a quotation mark that is not closed: what a command printed
        return
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if words:
        yield words
