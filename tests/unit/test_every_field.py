"""Every field of the spec is read by something that acts on it: none is passed over in silence."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel

import llmworkflow
import llmworkflow_jobs
from llmworkflow.api.fields import fields_of, models_in
from llmworkflow.api.spec.workflow import WorkflowSpec

OPERATOR = Path(llmworkflow.__file__).parent
JOBS = Path(llmworkflow_jobs.__file__).parent

ENTRIES = {"fineTune": "fine_tune", "batch": "batch", "serve": "serving", "prefetch": "prefetch"}
"""The module that a kind of stage starts with, by its section of the spec."""

Parsed = tuple[Path, ast.Module]


@cache
def parsed(folder: Path) -> tuple[Parsed, ...]:
    """All modules below a folder."""
    return tuple((path, ast.parse(path.read_text())) for path in sorted(folder.rglob("*.py")))


def attributes() -> set[str]:
    """Names that the operator reads of objects; a check of a value is no use of it, unless it refuses them all."""
    found = set()
    for path, tree in parsed(OPERATOR):
        if path.parent.name not in ("spec", "checks") or path.stem == "unsupported":
            found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return found


def keys(module: str) -> set[str]:
    """Names that a job's module and what it imports read of the configuration, also as parts of a path."""
    found: set[str] = set()
    for tree in reachable(module).values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {node.value, *node.value.split(".")}
    return found


def reachable(module: str) -> Mapping[str, ast.Module]:
    """The modules of the jobs that one imports, itself among them, over any number of steps."""
    trees = {path.stem: tree for path, tree in parsed(JOBS)}
    found: dict[str, ast.Module] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        if name in trees and name not in found:
            found[name] = trees[name]
            todo += imports(trees[name])
    return found


def imports(tree: ast.Module) -> Iterator[str]:
    """Names of the jobs' modules that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, module = node.module.partition(".")
            if package == JOBS.name:
                yield from [module] if module else (alias.name for alias in node.names)


def fields(model: type[BaseModel], path: str = "spec", section: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, its last part in Python, kind of stage or nothing) of every field below a model."""
    for alias, field in fields_of(model):
        name = next(name for name, item in model.model_fields.items() if item is field)
        here = f"{path}.{alias}"
        of = alias if path == "spec.stages" and alias in ENTRIES else section
        yield here, name, of
        for held in models_in(field.annotation):
            yield from fields(held, here, of)


def unread() -> Iterator[str]:
    """Fields whose name neither the operator nor the jobs of their kind of stage read."""
    by_kind = {kind: keys(module) for kind, module in ENTRIES.items()}
    everything = set().union(*by_kind.values())
    read = attributes()
    for path, name, kind in fields(WorkflowSpec):
        if name not in read and path.rpartition(".")[2] not in by_kind.get(kind, everything):
            yield path


def test_every_field_is_read() -> None:
    assert not list(unread())


def test_a_field_that_nothing_reads_is_found() -> None:
    assert "loadFormat" in keys("serving") - keys("fine_tune")
    assert "surelyUnknown" not in keys("batch") | attributes()
