"""What the documentation prints for people to type, run as it stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from .binaries import binary
from .conftest import Cluster

ROOT = Path(__file__).parents[2]


def commands(file: str, heading: str) -> str:
    """The last block of commands in a section."""
    _, found, section = (ROOT / file).read_text().partition(f"\n## {heading}\n")
    assert found, f"{file} has no section {heading}"
    blocks = re.findall(r"```console\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    assert blocks, f"{file}, section {heading}, prints no commands"
    return str(blocks[-1])


def typed(cluster: Cluster, namespace: str, lines: str, user: str, seconds: float) -> str:
    """What a shell prints when a person types lines at the root of the repository, with a namespace chosen."""
    kubectl = Path(binary("kubernetes", "kubectl"))
    arguments = f'--kubeconfig="{cluster.control_plane.kubeconfig_of(user)}" --namespace="{namespace}"'
    shell = f'set -euo pipefail\nkubectl() {{ "{kubectl}" {arguments} "$@"; }}\n{lines}'
    done = subprocess.run(
        ["bash", "-c", shell], cwd=ROOT, check=False, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
