"""Golden files: what is rendered, as a person reads it. UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llmworkflow.render.templating import to_yaml

from .kuberay import assert_valid

GOLDEN = Path(__file__).parents[2] / "golden"


def assert_golden(name: str, manifests: list[dict[str, Any]]) -> None:
    """Fail where KubeRay would refuse a manifest, or where they differ from the golden file."""
    for manifest in manifests:
        if manifest["kind"] in ("RayJob", "RayService"):
            assert_valid(manifest)
    path, text = GOLDEN / f"{name}.yaml", to_yaml(manifests)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"rendered manifests differ from {path}; UPDATE_GOLDEN=1 writes it anew"
