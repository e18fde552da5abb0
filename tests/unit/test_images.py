"""What the Dockerfiles name of this repository is there, in the versions that the rest of it has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "images"
ROOT = IMAGES.parent
LLAMA_FACTORY = (IMAGES / "llama-factory" / "Dockerfile").read_text().replace("\\\n", "")


@pytest.mark.capability("pod-images")
def test_the_image_of_jobs_has_the_versions_of_the_lock() -> None:
    locked = {
        package["name"]: package["version"]
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    lines = (IMAGES / "jobs" / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pinned == {name: locked[name] for name in pinned}


@pytest.mark.parametrize("file", sorted(IMAGES.glob("*/Dockerfile")), ids=lambda file: file.parent.name)
def test_what_is_copied_is_there(file: Path) -> None:
    text = file.read_text().replace("\\\n", "")
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), f"{file}: {source}"


@pytest.mark.capability("llama-factory", "pod-images")
def test_the_program_that_makes_its_environments_needs_no_other_file(tmp_path: Path) -> None:
    (line,) = re.findall(r"^COPY (.+)$", LLAMA_FACTORY, re.MULTILINE)
    *sources, target = line.split()
    folder = tmp_path / Path(target).name
    folder.mkdir()
    for source in sources:
        shutil.copy(ROOT / source, folder)
    (module,) = re.findall(r"python -m (\S+)", LLAMA_FACTORY)
    code = f"import {module} as it, {folder.name} as own; print(own.__path__[0], it.overlay.IMAGE_ENV)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert found[0] == str(folder)
    assert f"ENV {found[1]}=" in LLAMA_FACTORY
