"""The commands of the README and of the operations guide as a person types them, with pods that come and go."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.chart.helm import NAMESPACE, RELEASE
from tests.cluster.api import eventually
from tests.cluster.binaries import binary

from .cluster import Pods
from .commands import APPLY, INSTALL, UNINSTALL, UPGRADE
from .installation import install_operator, wait_until_available

ROOT = Path(__file__).parents[2]
DEPLOYMENT = f"{RELEASE}-operator"
PROGRAMS = {"helm": ("helm", "helm"), "kubectl": ("kubernetes", "kubectl")}


@pytest.fixture
def uninstalled(pods: Pods) -> Iterator[None]:
    """Nothing is installed but the CRD; after the test it is all as before."""
    typed(pods, UNINSTALL)
    eventually(lambda: not pods.api.list("Pod", NAMESPACE), 60, "the operator is gone")
    yield
    install_operator(pods.kubeconfig, pods.api, pods.values)


@pytest.mark.capability("installation")
@pytest.mark.usefixtures("uninstalled")
def test_helm_and_kubectl_install_the_same_operator(pods: Pods) -> None:
    typed(pods, INSTALL)
    available(pods)
    typed(pods, UPGRADE)
    available(pods)
    typed(pods, UNINSTALL)
    assert pods.api.get("CustomResourceDefinition", "llmworkflows.llmworkflow.io")
    eventually(lambda: not pods.api.list("Pod", NAMESPACE), 60, "the operator is gone")
    typed(pods, APPLY)
    available(pods)
    typed(pods, "kubectl delete --ignore-not-found -f manifests/operator.yaml")
    eventually(partial(_gone, pods), 60, "the namespace of the manifests is gone")


def available(pods: Pods) -> None:
    """Wait for the operator."""
    wait_until_available(pods.api, NAMESPACE, DEPLOYMENT)


def typed(pods: Pods, line: str) -> None:
    """Run a line as a person would, in the checkout."""
    program, *arguments = shlex.split(line)
    command: list[str | Path] = [binary(*PROGRAMS[program]), "--kubeconfig", pods.kubeconfig, *arguments]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{line}: {done.stderr}"


def _gone(pods: Pods) -> bool:
    return pods.api.get("Namespace", NAMESPACE) is None
