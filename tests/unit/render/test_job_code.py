"""What is rendered names parts of the job code, which is never imported here: they have to be there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from llmworkflow.render.manifests import ENTRYPOINTS
from llmworkflow.render.serve_config import IMPORT_PATH, INGRESS
from llmworkflow.render.volumes import JOBS_PACKAGE

JOBS = Path(__file__).parents[3] / "jobs"


def module(name: str) -> ast.Module:
    """The parsed source of a module of the job code."""
    return ast.parse((JOBS / f"{name.replace('.', '/')}.py").read_text())


@pytest.mark.parametrize("entrypoint", ENTRYPOINTS.values())
def test_entrypoints_are_programs(entrypoint: str) -> None:
    python, flag, name = entrypoint.split()
    assert (python, flag) == ("python", "-m")
    assert any(
        isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in module(name).body
    )


def test_the_application_is_built_by_a_function() -> None:
    name, _, function = IMPORT_PATH.partition(":")
    assert function in [node.name for node in module(name).body if isinstance(node, ast.FunctionDef)]


def test_the_ingress_has_its_name() -> None:
    assignments = [
        ast.unparse(node) for node in module("llmworkflow_jobs.serving").body if isinstance(node, ast.Assign)
    ]
    assert f"INGRESS = {INGRESS!r}" in assignments


def test_the_job_code_fits_the_mount() -> None:
    """A ConfigMap has no folders, and holds one MiB."""
    files = [path for path in (JOBS / JOBS_PACKAGE).rglob("*") if "__pycache__" not in path.parts]
    assert all(path.is_file() for path in files)
    assert sum(path.stat().st_size for path in files) < 900_000
