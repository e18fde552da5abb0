"""What the chart installs, by the values that are set: a test a switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from llmworkflow.kube.settings import OperatorSettings

from .helm import CHART, NAMESPACE, HelmError, Manifest, helm, of_kind, rendered, setting

pytestmark = pytest.mark.cluster

NAME = "llmworkflow-operator"
Manifests = list[Manifest]


def only(manifests: Manifests, kind: str) -> Any:
    (found,) = of_kind(manifests, kind)
    return found


def settings(manifests: Manifests) -> OperatorSettings:
    """As the operator reads them."""
    text = only(manifests, "ConfigMap")["data"]["settings.yaml"]
    return OperatorSettings.model_validate(yaml.safe_load(text))


def pod(manifests: Manifests) -> Any:
    return only(manifests, "Deployment")["spec"]["template"]["spec"]


def container(manifests: Manifests) -> Any:
    (found,) = pod(manifests)["containers"]
    return found


def labels(manifests: Manifests, kind: str) -> Any:
    return only(manifests, kind)["metadata"]["labels"]


def rules(manifests: Manifests, alert: str) -> Any:
    groups = only(manifests, "PrometheusRule")["spec"]["groups"]
    return next(rule for group in groups for rule in group["rules"] if rule["alert"] == alert)


def without_definition(**values: Any) -> Manifests:
    """Quickly: the definition is larger than all else."""
    return rendered(**{"crds.install": False, **values})


Look = Callable[[Manifests], Any]
DIGEST = f"sha256:{'0' * 64}"
PEER = {"podSelector": {"matchLabels": {"app": "prometheus"}}}

# Value, what it is set to, what to look at, and what is to be seen there by default and then.
SWITCHES: list[tuple[str, Any, Look, Any, Any]] = [
    ("image.repository", "r/o", lambda m: container(m)["image"], "llmworkflow/operator:0.1.0", "r/o:0.1.0"),
    ("image.tag", "2", lambda m: container(m)["image"], "llmworkflow/operator:0.1.0", "llmworkflow/operator:2"),
    ("image.digest", DIGEST, lambda m: container(m)["image"][-71:], "llmworkflow/operator:0.1.0", DIGEST),
    ("image.pullPolicy", "Never", lambda m: container(m)["imagePullPolicy"], "IfNotPresent", "Never"),
    ("imagePullSecrets", [{"name": "s"}], lambda m: pod(m).get("imagePullSecrets"), None, [{"name": "s"}]),
    ("fullnameOverride", "x", lambda m: only(m, "Deployment")["metadata"]["name"], NAME, "x"),
    ("fullnameOverride", "x", lambda m: settings(m).lease_name, NAME, "x"),
    ("replicas", 3, lambda m: only(m, "Deployment")["spec"]["replicas"], 2, 3),
    ("replicas", 1, lambda m: len(of_kind(m, "PodDisruptionBudget")), 1, 0),
    ("podDisruptionBudget.enabled", False, lambda m: len(of_kind(m, "PodDisruptionBudget")), 1, 0),
    ("watchNamespaces", ["a", "b"], lambda m: settings(m).namespaces, [], ["a", "b"]),
    ("workers", 2, lambda m: settings(m).workers, 8, 2),
    ("resyncSeconds", 60, lambda m: settings(m).resync_seconds, 600, 60),
    ("logFormat", "text", lambda m: settings(m).log_format, "json", "text"),
    ("jobs.image", "r/jobs:1", lambda m: settings(m).jobs.image, "llmworkflow/jobs:0.1.0", "r/jobs:1"),
    ("jobs.networkPolicy", False, lambda m: settings(m).jobs.network_policy, True, False),
    ("jobs.head", {"cpu": 1}, lambda m: settings(m).jobs.head.cpu, 2, 1),
    ("jobs.serveFrom", [PEER], lambda m: settings(m).jobs.serve_from, [], [PEER]),
    ("jobs.operators", [PEER], lambda m: len(settings(m).jobs.operators), 2, 1),
    ("kuberay.namespace", "ray", lambda m: settings(m).jobs.operators[1]["namespaceSelector"]["matchLabels"],
     {"kubernetes.io/metadata.name": "kuberay"}, {"kubernetes.io/metadata.name": "ray"}),
    ("crds.install", False, lambda m: len(of_kind(m, "CustomResourceDefinition")), 1, 0),
    ("admissionPolicy.enabled", False, lambda m: settings(m).user_verified, True, False),
    ("admissionPolicy.enabled", False, lambda m: len(of_kind(m, "ValidatingAdmissionPolicyBinding")), 1, 0),
    ("rbac.aggregate", False, lambda m: len(of_kind(m, "ClusterRole")), 4, 1),
    ("serviceAccount.annotations", {"a": "b"}, lambda m: only(m, "ServiceAccount")["metadata"].get("annotations"),
     None, {"a": "b"}),
    ("resources.limits", {"memory": "1Gi"}, lambda m: container(m)["resources"]["limits"],
     {"memory": "512Mi"}, {"memory": "1Gi"}),
    ("podLabels.a", "b", lambda m: only(m, "Deployment")["spec"]["template"]["metadata"]["labels"].get("a"), None, "b"),
    ("podAnnotations.a", "b",
     lambda m: only(m, "Deployment")["spec"]["template"]["metadata"]["annotations"].get("a"), None, "b"),
    ("nodeSelector", {"a": "b"}, lambda m: pod(m).get("nodeSelector"), None, {"a": "b"}),
    ("tolerations", [{"key": "a"}], lambda m: pod(m).get("tolerations"), None, [{"key": "a"}]),
    ("affinity", {"podAffinity": {}}, lambda m: pod(m).get("affinity"), None, {"podAffinity": {}}),
    ("priorityClassName", "high", lambda m: pod(m).get("priorityClassName"), None, "high"),
    ("topologySpreadConstraints", [{"topologyKey": "rack"}],
     lambda m: [each["topologyKey"] for each in pod(m)["topologySpreadConstraints"]],
     ["kubernetes.io/hostname", "topology.kubernetes.io/zone"], ["rack"]),
    ("podSecurityContext.runAsUser", 7, lambda m: pod(m)["securityContext"]["runAsUser"], 65532, 7),
    ("securityContext.privileged", False, lambda m: container(m)["securityContext"].get("privileged"), None, False),
    ("networkPolicy.enabled", False, lambda m: len(of_kind(m, "NetworkPolicy")), 1, 0),
    ("networkPolicy.metricsFrom", [PEER], lambda m: only(m, "NetworkPolicy")["spec"]["ingress"][0].get("from"),
     None, [PEER]),
    ("networkPolicy.apiServerPorts", [8443],
     lambda m: [each["port"] for each in only(m, "NetworkPolicy")["spec"]["egress"][1]["ports"]], [443, 6443], [8443]),
    ("metrics.port", 9090, lambda m: container(m)["ports"][0]["containerPort"], 8080, 9090),
    ("metrics.port", 9090, lambda m: settings(m).port, 8080, 9090),
    ("metrics.port", 9090, lambda m: only(m, "Service")["spec"]["ports"][0]["port"], 8080, 9090),
    ("metrics.serviceMonitor.enabled", True, lambda m: len(of_kind(m, "ServiceMonitor")), 0, 1),
    ("metrics.rules.enabled", True, lambda m: len(of_kind(m, "PrometheusRule")), 0, 1),
    ("metrics.dashboard.enabled", True, lambda m: len(of_kind(m, "ConfigMap")), 1, 2),
]  # fmt: skip


@pytest.fixture(scope="module")
def default() -> Manifests:
    return rendered()


@pytest.mark.parametrize(
    ("value", "content", "look", "before", "after"),
    SWITCHES,
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_switch(default: Manifests, value: str, content: Any, look: Look, before: Any, after: Any) -> None:
    assert look(default) == before
    assert look(without_definition(**{value: content})) == after


ENABLED = {
    "metrics.serviceMonitor.enabled": True,
    "metrics.rules.enabled": True,
    "metrics.dashboard.enabled": True,
}
# The same within what has to be switched on first.
MONITORING: list[tuple[str, Any, Look, Any]] = [
    ("metrics.serviceMonitor.labels", {"a": "b"}, lambda m: labels(m, "ServiceMonitor")["a"], "b"),
    ("metrics.serviceMonitor.interval", "5s",
     lambda m: only(m, "ServiceMonitor")["spec"]["endpoints"][0]["interval"], "5s"),
    ("metrics.rules.labels", {"a": "b"}, lambda m: labels(m, "PrometheusRule")["a"], "b"),
    ("metrics.rules.alertLabels", {"team": "ml", "severity": "none"},
     lambda m: rules(m, "LLMWorkflowNoLeader")["labels"], {"severity": "critical", "team": "ml"}),
    ("metrics.rules.failedSeconds", 7, lambda m: rules(m, "LLMWorkflowStageFailed")["expr"][-3:], "< 7"),
    ("metrics.rules.hangsSeconds", 7, lambda m: rules(m, "LLMWorkflowStageHangs")["expr"][-3:], "> 7"),
    ("metrics.rules.pendingSeconds", 7, lambda m: rules(m, "LLMWorkflowStagePending")["expr"][-3:], "> 7"),
    ("metrics.rules.for", "7m", lambda m: rules(m, "LLMWorkflowQueueStuck")["for"], "7m"),
    ("metrics.dashboard.labels", {"a": "b"}, lambda m: of_kind(m, "ConfigMap")[0]["metadata"]["labels"]["a"], "b"),
    ("metrics.dashboard.annotations", {"folder": "ML"},
     lambda m: of_kind(m, "ConfigMap")[0]["metadata"]["annotations"], {"folder": "ML"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "content", "look", "after"), MONITORING, ids=lambda part: part if isinstance(part, str) else ""
)
def test_switch_of_monitoring(value: str, content: Any, look: Look, after: Any) -> None:
    assert look(without_definition(**ENABLED, **{value: content})) == after


# A value, what it is set to, and what Helm says of it.
WRONG = [
    ("replica", 2, "additional properties 'replica' not allowed"),
    ("image.name", "x", "at '/image': additional properties 'name' not allowed"),
    ("jobs.imag", "x", "at '/jobs': additional properties 'imag' not allowed"),
    ("jobs.accelerators", {"l4": {"kind": "L4"}}, "at '/jobs/accelerators/l4': additional properties 'kind'"),
    ("metrics.rules.hangSeconds", 1, "additional properties 'hangSeconds' not allowed"),
    ("replicas", "two", "at '/replicas': got string, want integer"),
    ("watchNamespaces", ["Team"], "at '/watchNamespaces/0': 'Team' does not match pattern"),
    ("image.digest", "latest", "at '/image/digest': 'latest' does not match pattern"),
    ("metrics.rules.for", "soon", "at '/metrics/rules/for': 'soon' does not match pattern"),
    ("networkPolicy.apiServerPorts", [], "at '/networkPolicy/apiServerPorts': minItems: got 0, want 1"),
    ("jobs.activeDeadlineSeconds", 0, "at '/jobs/activeDeadlineSeconds': minimum: got 0, want 1"),
    ("logFormat", "xml", "at '/logFormat': value must be one of 'json', 'text'"),
]


@pytest.mark.parametrize(("value", "content", "message"), WRONG)
def test_what_is_no_value_is_refused(value: str, content: Any, message: str) -> None:
    with pytest.raises(HelmError) as refused:
        rendered(**{value: content})
    assert message in str(refused.value)


@pytest.mark.parametrize(
    "values", [{}, ENABLED, {"watchNamespaces": ["a"]}], ids=["default", "monitoring", "namespaces"]
)
def test_lint(values: dict[str, Any]) -> None:
    helm("lint", "--strict", CHART, *setting(values))


def test_rights_are_cluster_wide_or_those_of_the_namespaces(default: Manifests) -> None:
    everywhere = next(role for role in of_kind(default, "ClusterRole") if role["metadata"]["name"] == NAME)
    listed = without_definition(watchNamespaces=["a", "b"], **{"rbac.aggregate": False})
    rest = only(listed, "ClusterRole")
    within = [role for role in of_kind(listed, "Role") if not role["metadata"]["name"].endswith("-lease")]
    assert [role["metadata"]["namespace"] for role in within] == ["a", "b"]
    for role in within:
        assert role["rules"] == everywhere["rules"][2:]
    assert {resource for rule in rest["rules"] for resource in rule["resources"]} == {
        "nodes",
        "customresourcedefinitions",
        "namespaces",
    }
    assert rest["rules"][:2] == everywhere["rules"][:2]
    assert all(
        binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
        for kind in ("RoleBinding", "ClusterRoleBinding")
        for binding in of_kind(listed, kind)
    )


def test_no_right_goes_too_far(default: Manifests) -> None:
    roles = of_kind(default, "ClusterRole") + of_kind(default, "Role")
    own = [rule for role in roles if role["metadata"]["name"].startswith(NAME) for rule in role["rules"]]
    assert not any("*" in rule[part] for rule in own for part in ("verbs", "resources", "apiGroups"))
    assert not any("secrets" in rule["resources"] for rule in own)
    assert not {"escalate", "bind", "impersonate"} & {verb for rule in own for verb in rule["verbs"]}


def test_definition_stays_when_the_release_goes(default: Manifests) -> None:
    definition = only(default, "CustomResourceDefinition")
    assert definition["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_pods_are_made_anew_for_other_settings(default: Manifests) -> None:
    def annotations(manifests: Manifests) -> Any:
        return only(manifests, "Deployment")["spec"]["template"]["metadata"]["annotations"]

    assert annotations(without_definition(workers=9)) != annotations(default)
    assert annotations(without_definition(replicas=9)) == annotations(default)


@pytest.mark.parametrize(
    ("release", "name"), [("llmworkflow", NAME), ("ml", "ml-llmworkflow-operator"), ("a" * 53, "a" * 52)]
)
def test_names_follow_the_release(release: str, name: str) -> None:
    found = without_definition(release=release)
    assert only(found, "Deployment")["metadata"]["name"] == name
    assert settings(found).lease_name == name
    lease = next(role for role in of_kind(found, "Role"))
    assert lease["rules"][1]["resourceNames"] == [name]
