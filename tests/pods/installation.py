"""What a platform engineer installs: KubeRay, and the operator with its chart."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tests.chart.helm import CHART, NAMESPACE, RELEASE, helm, setting
from tests.cluster.api import Api, condition, eventually
from tests.cluster.images import reference
from tests.cluster.kuberay import install_crds

KUBERAY = "kuberay"
READY_SECONDS = 120
_LABELS = {"app.kubernetes.io/name": "kuberay-operator"}

# Ray pods that fit on one small node; the README's quick start takes the same file.
VALUES = CHART.parents[1] / "manifests" / "kind" / "values.yaml"


def install_kuberay(api: Api) -> None:
    """KubeRay's operator as a pod, as its own chart would install it; it may do everything."""
    install_crds(api)
    account = {"kind": "ServiceAccount", "name": KUBERAY, "namespace": KUBERAY}
    admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", KUBERAY, namespaced=False)
    for manifest in (
        _object("v1", "Namespace", KUBERAY, namespaced=False),
        _object("v1", "ServiceAccount", KUBERAY),
        binding | {"roleRef": admin, "subjects": [account]},
        _object("apps/v1", "Deployment", KUBERAY) | {"spec": _kuberay_deployment()},
    ):
        api.apply(manifest)
    wait_until_available(api, KUBERAY, KUBERAY)


def install_operator(kubeconfig: Path, api: Api, values: dict[str, Any]) -> None:
    """`helm upgrade --install`, with the chart's own images, which were built here."""
    where: list[str | Path] = ["--kubeconfig", kubeconfig, "--namespace", NAMESPACE, "--create-namespace"]
    helm("upgrade", "--install", RELEASE, CHART, "--values", VALUES, *where, *setting(values))
    wait_until_available(api, NAMESPACE, f"{RELEASE}-operator")


def wait_until_available(api: Api, namespace: str, deployment: str) -> None:
    """Wait until the pods of a Deployment are ready."""
    eventually(partial(_available, api, namespace, deployment), READY_SECONDS, f"{deployment} is available")


def _available(api: Api, namespace: str, name: str) -> bool:
    found = api.get("Deployment", name, namespace) or {}
    status = found.get("status", {})
    current = status.get("observedGeneration") == found.get("metadata", {}).get("generation")
    wanted = found.get("spec", {}).get("replicas")
    everyone = status.get("updatedReplicas") == status.get("availableReplicas") == wanted
    return current and everyone and condition(found, "Available").get("status") == "True"


def _kuberay_deployment() -> dict[str, Any]:
    container = {
        "name": "operator",
        "image": reference("kuberay"),
        "args": ["-enable-leader-election=false"],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8082}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
    }
    pod = {"serviceAccountName": KUBERAY, "containers": [container]}
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template}


def _object(version: str, kind: str, name: str, namespaced: bool = True) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": KUBERAY} if namespaced else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
