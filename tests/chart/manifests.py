"""Write the manifests for kubectl from the chart: `python -m tests.chart.manifests`."""

from __future__ import annotations

from pathlib import Path

from llmworkflow.api.yaml_writer import to_yaml

from .helm import NAMESPACE, Manifest, rendered

PATH = Path(__file__).parents[2] / "manifests" / "operator.yaml"
COMMAND = "make generate"
# They say who looks after an object, which is not Helm here.
OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart")


def operator_manifests() -> str:
    """Everything but the definition of LLMWorkflow, and the namespace for it."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    manifests = [namespace, *map(_without_helm, rendered(**{"crds.install": False}))]
    return f"# Generated from charts/llmworkflow by `{COMMAND}`.\n{to_yaml(*manifests)}"


def _without_helm(manifest: Manifest) -> Manifest:
    described = [manifest["metadata"]]
    if manifest["kind"] == "Deployment":
        described.append(manifest["spec"]["template"]["metadata"])
    for metadata in described:
        for label in OF_HELM:
            del metadata["labels"][label]
    return manifest


if __name__ == "__main__":
    PATH.write_text(operator_manifests())
