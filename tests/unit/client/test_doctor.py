"""What `doctor` finds."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.render.kuberay import schema as kuberay_schema

from llmworkflow.client import machine_doctor
from llmworkflow.client.cluster_doctor import examine
from llmworkflow.client.doctor import Finding, Health, version_of, worst
from llmworkflow.local import machine

from .scripted_api import ScriptedApi, refused

KINDS = [{"resources": [{"name": "llmworkflows"}]}, {"resources": [{"name": "rayjobs"}]}]
RIGHTS = 13


def definition(schema: Any) -> dict[str, Any]:
    return {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}}


OLD_DEFINITION = definition({"properties": {"spec": {"properties": {"entrypoint": {}}}}})
DEFINITION = definition(kuberay_schema("RayJob"))


def deployment(name: str, image: str, ready: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "system", "name": name},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"readyReplicas": ready},
    }


def node(product: str, gpus: int) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"nvidia.com/gpu.product": product}},
        "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}},
    }


OPERATOR = [deployment("llmworkflow", "llmworkflow:0.1.0")]
KUBERAY = [deployment("kuberay", "quay.io/kuberay/operator:v1.6.2")]
NODES = [node("NVIDIA-L4", 4), node("NVIDIA-L4", 4), {"metadata": {}, "status": {}}]


def found(
    version: str = "v1.34.4",
    kinds: Any = KINDS,
    rayjob: Any = DEFINITION,
    operator: Any = OPERATOR,
    kuberay: Any = KUBERAY,
    nodes: Any = NODES,
    allowed: bool = True,
) -> dict[str, Finding]:
    api = ScriptedApi(
        get=[{"gitVersion": version}, *kinds, rayjob],
        items=[operator, kuberay, nodes],
        create=[{"status": {"allowed": allowed}}] * RIGHTS,
    )
    return {finding.subject: finding for finding in examine(api, "team")}  # type: ignore[arg-type]


def test_a_cluster_that_is_well() -> None:
    findings = found()
    assert worst(list(findings.values())) is Health.GOOD
    assert findings["GPUs"].told == "8 NVIDIA-L4"
    assert findings["operator"].told == "system/llmworkflow, llmworkflow:0.1.0, 1 ready"
    assert findings["approve"].told == "you may approve llmworkflows.llmworkflow.io in team"


@pytest.mark.parametrize(
    ("case", "subject", "health", "word"),
    [
        ({"version": "v1.29.1"}, "Kubernetes", Health.BAD, "1.30"),
        ({"kinds": [None, KINDS[1]]}, "llmworkflows.llmworkflow.io", Health.BAD, "helm install llmworkflow"),
        ({"kinds": [KINDS[0], None]}, "rayjobs.ray.io", Health.BAD, "install KubeRay"),
        ({"rayjob": OLD_DEFINITION}, "definition of RayJob", Health.BAD, "KubeRay 1.6 or newer"),
        ({"rayjob": None}, "definition of RayJob", Health.BAD, "KubeRay 1.6 or newer"),
        ({"rayjob": refused(403)}, "definition of RayJob", Health.UNSURE, "admin of the cluster"),
        ({"operator": []}, "operator", Health.BAD, "helm install"),
        ({"operator": [deployment("llmworkflow", "i", 0)]}, "operator", Health.BAD, "kubectl logs -n system"),
        ({"operator": refused(403)}, "operator", Health.UNSURE, "admin of the cluster"),
        ({"kuberay": [deployment("kuberay", "operator:v1.5.2")]}, "KubeRay", Health.BAD, "upgrade to 1.6"),
        ({"kuberay": [deployment("kuberay", "operator:latest", 0)]}, "KubeRay", Health.BAD, "log"),
        ({"kuberay": []}, "KubeRay", Health.UNSURE, "runs"),
        ({"nodes": []}, "GPUs", Health.POOR, "device plugin"),
        ({"allowed": False}, "approve", Health.POOR, "role `admin` in namespace team"),
        ({"allowed": False}, "plan, apply", Health.POOR, "role `edit`"),
    ],
)
def test_each_trouble_comes_with_its_remedy(
    case: dict[str, Any], subject: str, health: Health, word: str
) -> None:
    finding = found(**case)[subject]
    assert finding.health is health
    assert word in finding.remedy


@pytest.mark.parametrize(("short", "variable"), [("tmp", "TMPDIR"), ("home", "LLMWORKFLOW_HOME")])
def test_a_full_disk_of_this_machine_is_found_where_runs_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, short: str, variable: str
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setenv("LLMWORKFLOW_HOME", str(tmp_path / "home"))
    usage = {tmp_path / short: SimpleNamespace(free=1024**3)}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage.get(path, SimpleNamespace(free=1024**4)))
    monkeypatch.setattr(machine, "MIN_MEMORY_BYTES", 0)
    (finding,) = [item for item in machine_doctor.examine() if item.subject == "memory and disk"]
    assert finding.health is Health.BAD
    assert finding.told == f"1.0 GiB of disk are free in {tmp_path / short}, 2.0 GiB are needed"
    assert f"set {variable} to a folder on a larger disk" in finding.remedy


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1.34.4", (1, 34)), ("1.30+", (1, 30)), ("v1.6.2-rc.0", (1, 6)), ("latest", None), ("sha-1", None)],
)
def test_versions(text: str, version: tuple[int, int] | None) -> None:
    assert version_of(text) == version
