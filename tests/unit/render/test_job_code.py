"""What is rendered names parts of the job code, which is never imported here: they have to be there."""

from __future__ import annotations

import ast
import base64
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from llmworkflow.job_code import PACKAGE, code_digest, job_code
from llmworkflow.render.manifests import ENTRYPOINTS
from llmworkflow.render.serve_config import IMPORT_PATH, INGRESS

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


def test_python_imports_the_archive(tmp_path: Path) -> None:
    archive = tmp_path / "jobs.zip"
    archive.write_bytes(base64.b64decode(job_code().archive))
    found = subprocess.run(
        [sys.executable, "-P", "-c", f"import {PACKAGE}.report; print({PACKAGE}.report.__file__)"],
        env={"PYTHONPATH": str(archive)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert found.strip() == f"{archive}/{PACKAGE}/report.py"


def test_the_archive_holds_all_files_and_fits_a_config_map() -> None:
    """Which holds one MiB."""
    packed = base64.b64decode(job_code().archive)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    files = [path for path in (JOBS / PACKAGE).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert texts == {str(path.relative_to(JOBS)): path.read_text() for path in files}
    assert len(packed) < 900_000
    assert job_code().digest == code_digest()
