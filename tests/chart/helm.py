"""Helm, on the chart of this checkout."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.binaries import binary

CHART = Path(__file__).parents[2] / "charts" / "llmworkflow"
RELEASE = NAMESPACE = "llmworkflow"

Manifest = dict[str, Any]


class HelmError(Exception):
    """Helm said no; the text is what it said."""


def helm(*arguments: str | Path) -> str:
    """What Helm prints."""
    command = [binary("helm", "helm"), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


def rendered(
    *flags: str, chart: Path = CHART, release: str = RELEASE, namespace: str = NAMESPACE, **values: Any
) -> list[Manifest]:
    """What the chart installs with these values."""
    text = helm("template", release, chart, "--namespace", namespace, *setting(values), *flags)
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def setting(values: Manifest) -> list[str]:
    """Flags that set values."""
    return [flag for name, value in values.items() for flag in ("--set-json", f"{name}={json.dumps(value)}")]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Those of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]
