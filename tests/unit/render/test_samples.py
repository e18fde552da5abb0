"""Every sample is a valid workflow, and renders to what its golden file says and KubeRay takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmworkflow.api.load import load_valid_workflow
from llmworkflow.render.first_run import render_all
from llmworkflow.render.settings import Settings

from .builders import CODE
from .golden import GOLDEN, assert_golden

SAMPLES = sorted((Path(__file__).parents[3] / "manifests" / "samples").glob("*.yaml"))


@pytest.mark.capability("samples")
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample(path: Path) -> None:
    workflow = load_valid_workflow(path, local=False)
    assert_golden(f"samples/{path.stem}", render_all(workflow, Settings(), CODE))


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in (GOLDEN / "samples").iterdir()} == {path.stem for path in SAMPLES}
