"""What pods may do, and who may reach them."""

from __future__ import annotations

import pytest

from llmworkflow.render.settings import Settings

from .builders import (
    child_of,
    cluster_of,
    env_of,
    kinds,
    make_workflow,
    pod_of,
    rendered,
)

STAGES = ("tune", "score", "chat")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("group", ["head", "workers"])
def test_pods_pass_pod_security_restricted(stage: str, group: str) -> None:
    pod = pod_of(child_of(stage), group)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
    allowed = {"emptyDir", "configMap", "downwardAPI", "persistentVolumeClaim"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


@pytest.mark.capability("closed")
@pytest.mark.parametrize(
    ("stage", "scales", "head_mounts"), [("tune", False, True), ("chat", False, False), ("chat", True, True)]
)
def test_workers_mount_no_token_and_heads_only_where_they_use_it(
    stage: str, scales: bool, head_mounts: bool
) -> None:
    models = [{"modelId": "viggo", "model": {"stage": "tune"}, "replicas": {"max": 2 if scales else 1}}]
    child = child_of(stage, stages={"chat": {"serve": {"models": models}}})
    assert pod_of(child)["automountServiceAccountToken"] is False
    assert pod_of(child, "head")["automountServiceAccountToken"] is head_mounts


def test_heads_may_write_the_reports_of_their_workflow_and_nothing_else() -> None:
    manifests = rendered(make_workflow(), "tune")
    by_kind = {manifest["kind"]: manifest for manifest in manifests}
    report = rendered(make_workflow(), "score")[-2]["metadata"]["name"]
    (rule,) = by_kind["Role"]["rules"]
    assert rule["verbs"] == ["get", "patch", "update"]
    assert report in rule["resourceNames"]
    assert len(rule["resourceNames"]) == 2
    (subject,) = by_kind["RoleBinding"]["subjects"]
    assert subject["name"] == by_kind["ServiceAccount"]["metadata"]["name"]
    assert pod_of(manifests[-1], "head")["serviceAccountName"] == subject["name"]
    assert env_of(pod_of(manifests[-1], "head"))["LLMWORKFLOW_REPORT"] == (
        f"configmap://team/{manifests[-2]['metadata']['name']}"
    )


@pytest.mark.capability("closed")
def test_a_service_account_of_the_user() -> None:
    manifests = rendered(make_workflow(ray={"serviceAccountName": "ours"}), "tune")
    assert "ServiceAccount" not in kinds(manifests)
    (binding,) = [manifest for manifest in manifests if manifest["kind"] == "RoleBinding"]
    assert [subject["name"] for subject in binding["subjects"]] == ["ours"]
    assert pod_of(manifests[-1])["serviceAccountName"] == "ours"


def test_a_report_has_no_data_of_ours() -> None:
    assert "data" not in rendered(make_workflow(), "tune")[-2]


@pytest.mark.capability("closed")
def test_clusters_are_closed() -> None:
    manifests = rendered(make_workflow(), "chat")
    closed, endpoint = (manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy")
    labels = cluster_of(manifests[-1])["headGroupSpec"]["template"]["metadata"]["labels"]
    assert closed["podSelector"]["matchLabels"].items() <= labels.items()
    open_to_all = [rule["ports"] for rule in closed["ingress"] if "from" not in rule]
    assert open_to_all == [[{"port": 8080, "protocol": "TCP"}]]
    assert endpoint["ingress"] == [{"ports": [{"port": 8000, "protocol": "TCP"}]}]
    assert endpoint["podSelector"]["matchLabels"].items() <= labels.items()
    assert cluster_of(manifests[-1])["authOptions"] == {"mode": "token"}


def test_clients_of_endpoints_can_be_limited() -> None:
    settings = Settings.model_validate({"serveFrom": [{"podSelector": {}}]})
    endpoint = rendered(make_workflow(), "chat", settings)[-2]
    assert endpoint["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]


def test_an_installation_without_policies_and_tokens() -> None:
    settings = Settings.model_validate({"networkPolicy": False, "tokenAuthentication": False})
    manifests = rendered(make_workflow(), "chat", settings)
    assert "NetworkPolicy" not in kinds(manifests)
    assert "authOptions" not in cluster_of(manifests[-1])
