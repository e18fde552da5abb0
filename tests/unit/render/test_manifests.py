"""What a stage's manifests say: one test for each thing that KubeRay, Kubernetes or Kueue trips over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmworkflow.api import names
from llmworkflow.core.revision import digest, result_fields
from llmworkflow.render.errors import RenderError
from llmworkflow.render.ray_settings import stage_named
from llmworkflow.render.settings import Settings

from .builders import CODE, WORK, cluster_of, env_of, make_workflow, pod_of, rendered
from .kuberay import assert_valid

STAGES = ("tune", "score", "chat")


def child_of(stage: str, settings: Settings | None = None, **spec: Any) -> dict[str, Any]:
    """The child of a stage, which KubeRay's schema takes."""
    child = rendered(make_workflow(**spec), stage, settings)[-1]
    assert_valid(child)
    return child


def group_of(child: dict[str, Any], name: str = "workers") -> dict[str, Any]:
    """A worker group."""
    (found,) = [group for group in cluster_of(child)["workerGroupSpecs"] if group["groupName"] == name]
    return dict(found)


def kinds(manifests: list[dict[str, Any]]) -> list[str]:
    """The kinds of manifests, in order."""
    return [manifest["kind"] for manifest in manifests]


# What is created, and how it is tied together


def test_a_child_comes_after_everything_that_it_refers_to() -> None:
    shared = ["Role", "ConfigMap", "NetworkPolicy", "ServiceAccount", "RoleBinding"]
    assert kinds(rendered(make_workflow(), "tune")) == [*shared, "ConfigMap", "ConfigMap", "RayJob"]
    assert kinds(rendered(make_workflow(), "chat")) == [*shared, "ConfigMap", "NetworkPolicy", "RayService"]


@pytest.mark.parametrize("stage", STAGES)
def test_everything_goes_when_the_workflow_goes(stage: str) -> None:
    for manifest in rendered(make_workflow(), stage):
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("LLMWorkflow", "8a0e6b1c", True)
        assert manifest["metadata"]["namespace"] == "team"
        assert manifest["metadata"]["labels"][names.LABEL_WORKFLOW] == "viggo"


@pytest.mark.parametrize("stage", STAGES)
def test_the_spec_hash_is_of_all_the_rest(stage: str) -> None:
    for manifest in rendered(make_workflow(), stage):
        annotations = manifest["metadata"]["annotations"]
        found = annotations.pop(names.ANNOTATION_SPEC_HASH)
        if not manifest["kind"].startswith("Ray"):
            del manifest["metadata"]["annotations"]  # there are none but the hash
        is_code = "-jobs-" in manifest["metadata"]["name"]  # whose own digest is known
        assert found == digest([manifest["metadata"], digest(manifest["data"])] if is_code else manifest)


def test_a_child_says_what_it_was_made_for() -> None:
    metadata = child_of("tune")["metadata"]
    assert (
        metadata["labels"] | {names.LABEL_REVISION: "1a1a1a1a1a1a", names.LABEL_ATTEMPT: "1"}
        == metadata["labels"]
    )
    assert metadata["annotations"][names.ANNOTATION_SETTINGS] == "5e77"


def test_rendering_again_gives_the_same() -> None:
    assert rendered(make_workflow(), "chat") == rendered(make_workflow(), "chat")


def test_job_code_is_named_by_its_content_and_cannot_change() -> None:
    workflow = make_workflow()
    code = next(item for item in rendered(workflow, "tune") if item["kind"] == "ConfigMap")
    assert code["data"] == CODE
    assert code["immutable"] is True
    mounted = {volume["name"]: volume for volume in pod_of(rendered(workflow, "tune")[-1])["volumes"]}
    assert mounted["job-code"]["configMap"]["name"] == code["metadata"]["name"]


def test_namesakes_in_other_workflows_are_other_objects() -> None:
    ours = make_workflow()
    another_uid = ours.metadata.model_copy(update={"uid": "another"})
    theirs = ours.model_copy(update={"metadata": another_uid})
    for left, right in zip(rendered(ours, "tune")[:-1], rendered(theirs, "tune")[:-1], strict=True):
        if not left["metadata"]["name"].endswith("-config"):  # of a child, whose own name tells them apart
            assert left["metadata"]["name"] != right["metadata"]["name"]


# Jobs


def test_jobs_are_submitted_by_kuberay_and_retried_by_nobody_else() -> None:
    spec = child_of("tune")["spec"]
    assert (spec["submissionMode"], spec["backoffLimit"]) == ("HTTPMode", 0)
    assert (spec["shutdownAfterJobFinishes"], spec["ttlSecondsAfterFinished"]) == (True, 0)


@pytest.mark.parametrize(
    ("stage", "entrypoint"),
    [("tune", "python -m llmworkflow_jobs.fine_tune"), ("score", "python -m llmworkflow_jobs.batch")],
)
def test_entrypoints_are_constants(stage: str, entrypoint: str) -> None:
    child = child_of(stage)
    assert child["spec"]["entrypoint"] == entrypoint
    assert "runtimeEnvYAML" not in child["spec"]


def test_packages() -> None:
    assert child_of("tune", ray={"pip": ["a==1"]})["spec"]["runtimeEnvYAML"] == '{"pip": ["a==1"]}'


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ({}, (86400, 86400 + 30 * 86400)),
        ({"timeoutSeconds": 100}, (86400, 86400 + 200)),
        ({"timeoutSeconds": 100, "pendingTimeoutSeconds": 10}, (20, 220)),
    ],
)
def test_deadlines_of_kuberay_are_looser_than_the_planners(
    stage: dict[str, Any], expected: tuple[int, int]
) -> None:
    spec = child_of("tune", stages={"tune": stage})["spec"]
    assert (spec["preRunningDeadlineSeconds"], spec["activeDeadlineSeconds"]) == expected


def test_a_queued_job_waits_for_kueue() -> None:
    child = child_of("tune", ray={"queue": "team-a"})
    assert child["metadata"]["labels"][names.LABEL_QUEUE] == "team-a"
    assert child["spec"]["suspend"] is True
    assert "suspend" not in child_of("tune")["spec"]


def test_a_prefetch_takes_no_accelerator() -> None:
    workflow = make_workflow(stages={"tune": {"fineTune": None, "prefetch": {}}})
    child = rendered(workflow, "tune", work=replace(WORK["tune"], kind="prefetch"))[-1]
    assert child["spec"]["entrypoint"] == "python -m llmworkflow_jobs.prefetch"
    assert "nvidia.com/gpu" not in str(child)


# Services


@pytest.mark.parametrize(("upgrade", "strategy"), [("surge", "NewCluster"), ("replace", "None")])
def test_upgrades(upgrade: str, strategy: str) -> None:
    child = child_of("chat", stages={"chat": {"serve": {"upgrade": upgrade}}})
    assert child["spec"]["upgradeStrategy"] == {"type": strategy}


def test_a_service_that_never_starts_is_given_up_at_last() -> None:
    annotations = child_of("chat")["metadata"]["annotations"]
    assert annotations["ray.io/initializing-timeout"] == "86400s"


def test_a_promotion_restarts_no_pod() -> None:
    before = child_of("chat")
    promoted = replace(WORK["chat"], revision="ffffffffffff", attempt=2)
    after = rendered(make_workflow(), "chat", work=promoted)[-1]
    assert before["spec"]["serveConfigV2"] != after["spec"]["serveConfigV2"]
    assert cluster_of(before) == cluster_of(after)


def test_a_rollback_renders_what_was_served_then() -> None:
    before, now = make_workflow(), make_workflow(model={"source": "hf://org/newer"})
    kept = result_fields(before.spec, stage_named(before, "chat"))
    returned = replace(WORK["chat"], spec=kept)
    assert rendered(now, "chat", work=returned) == rendered(before, "chat")
    assert rendered(now, "chat") != rendered(before, "chat")


def test_an_engine_option_makes_a_new_cluster() -> None:
    models = [{"modelId": "viggo", "model": {"stage": "tune"}, "engineKwargs": {"max_model_len": 8}}]
    changed = child_of("chat", stages={"chat": {"serve": {"models": models}}})
    assert cluster_of(changed) != cluster_of(child_of("chat"))


def test_the_port_of_the_endpoint_is_open_on_workers() -> None:
    child = child_of("chat")
    assert child["spec"]["excludeHeadPodFromServeSvc"] is True
    assert {"name": "serve", "containerPort": 8000} in pod_of(child)["containers"][0]["ports"]


def test_a_service_that_may_shrink_to_nothing_keeps_its_ingress() -> None:
    models = [{"modelId": "viggo", "replicas": {"min": 0, "max": 2}}]
    child = child_of("chat", stages={"chat": {"serve": {"models": models}}})
    assert (group_of(child)["minReplicas"], group_of(child)["maxReplicas"]) == (0, 2)
    ingress = group_of(child, "ingress")
    assert (ingress["replicas"], ingress["maxReplicas"]) == (1, 1)
    assert "nvidia.com/gpu" not in pod_of(child, "ingress")["containers"][0]["resources"]["limits"]


def test_redis_keeps_the_state_of_a_service_only() -> None:
    password = {"secretKeyRef": {"name": "redis", "key": "password"}}
    ray = {"gcsFaultTolerance": {"redisAddress": "redis:6379", "redisPassword": password}}
    assert cluster_of(child_of("chat", ray=ray))["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379",
        "redisPassword": {"valueFrom": password},
    }
    assert "gcsFaultToleranceOptions" not in cluster_of(child_of("tune", ray=ray))


# Ray clusters


@pytest.mark.parametrize("stage", STAGES)
def test_no_work_runs_on_the_head(stage: str) -> None:
    assert cluster_of(child_of(stage))["headGroupSpec"]["rayStartParams"] == {
        "num-cpus": "0",
        "num-gpus": "0",
    }


def test_the_size_of_a_group_is_written_out() -> None:
    group = group_of(child_of("tune", stages={"tune": {"fineTune": {"workers": {"count": 4}}}}))
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (4, 4, 4)


def test_only_a_cluster_that_scales_has_an_autoscaler() -> None:
    fixed = cluster_of(child_of("tune"))
    assert "enableInTreeAutoscaling" not in fixed
    elastic = child_of("tune", stages={"tune": {"fineTune": {"workers": {"min": 2, "max": 8}}}})
    assert cluster_of(elastic)["enableInTreeAutoscaling"] is True
    group = group_of(elastic)
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 8)


def test_the_autoscaler_knows_what_pods_will_bring() -> None:
    assert group_of(child_of("tune"))["resources"] == {"accelerator_type:L4": "1"}


def test_accelerators() -> None:
    ray = {
        "accelerator": {
            "type": "A100", "count": 2, "resource": "nvidia.com/gpu", "nodeSelector": {"pool": "a100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "preferences": [{"weight": 1, "preference": {"matchExpressions": [{"key": "spot", "operator": "Exists"}]}}],
        }
    }  # fmt: skip
    child = child_of("tune", ray=ray)
    pod = pod_of(child)
    resources = pod["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == "2"
    assert pod["nodeSelector"] == {"pool": "a100"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    preferred = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred == ray["accelerator"]["preferences"]
    head = pod_of(child, "head")
    assert "nodeSelector" not in head
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]


def test_a_profile_that_the_installation_lacks() -> None:
    with pytest.raises(RenderError, match=r"stage tune: ray\.accelerator\.name is 'l5'.*a100, .*choose one"):
        child_of("tune", ray={"accelerator": {"name": "l5"}})


def test_cpu_stages_take_no_accelerator() -> None:
    child = child_of("tune", ray={"accelerator": {"count": 0}})
    assert set(pod_of(child)["containers"][0]["resources"]["limits"]) == {"cpu", "memory"}
    assert "resources" not in group_of(child)


def test_further_groups() -> None:
    groups = [
        {"name": "spot", "replicas": 0, "minReplicas": 0, "maxReplicas": 4, "accelerator": {"name": "t4"}},
        {"name": "prepare", "replicas": 2, "cpu": 16, "memory": "64Gi"},
    ]
    child = child_of("tune", ray={"accelerator": {"name": "l4"}, "workerGroups": groups})
    spot, prepare = group_of(child, "spot"), group_of(child, "prepare")
    assert (spot["minReplicas"], spot["maxReplicas"], spot["resources"]) == (
        0,
        4,
        {"accelerator_type:T4": "1"},
    )
    assert (prepare["replicas"], prepare["maxReplicas"]) == (2, 2)
    assert pod_of(child, "prepare")["containers"][0]["resources"]["limits"] == {"cpu": "16", "memory": "64Gi"}
    assert cluster_of(child)["enableInTreeAutoscaling"] is True


def test_a_stage_overrides_the_workflow_which_overrides_the_installation() -> None:
    ray = {
        "worker": {"cpu": 8, "memory": "64Gi"},
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
    }
    own = {"worker": {"cpu": 16}, "env": [{"name": "B", "value": "2"}], "image": "own:1"}
    child = child_of("tune", ray=ray, stages={"tune": {"ray": own}})
    pod = pod_of(child)
    assert pod["containers"][0]["image"] == "own:1"
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "16", "memory": "64Gi"}
    assert (env_of(pod)["A"], env_of(pod)["B"]) == ("1", "2")
    head = pod_of(child, "head")["containers"][0]["resources"]["limits"]
    assert head == {"cpu": "2", "memory": "8Gi"}


def test_defaults_that_the_api_server_fills_in_override_nothing() -> None:
    """An object from the API server has all defaults set: only what differs from them was chosen."""
    ray = {"accelerator": {"name": "l4"}, "image": "ours:1"}
    written = make_workflow(ray=ray, stages={"tune": {"ray": {"worker": {"cpu": 16}}}})
    stored = type(written).model_validate(written.dump())
    assert rendered(stored, "tune") == rendered(written, "tune")


# Pods


def test_shared_memory() -> None:
    def size_of(worker: dict[str, Any]) -> str:
        volumes = {
            volume["name"]: volume for volume in pod_of(child_of("tune", ray={"worker": worker}))["volumes"]
        }
        assert volumes["shared-memory"]["emptyDir"]["medium"] == "Memory"
        return str(volumes["shared-memory"]["emptyDir"]["sizeLimit"])

    assert size_of({}) == "16Gi"  # half of the memory
    assert size_of({"memory": "3Gi"}) == "1536Mi"
    assert size_of({"sharedMemory": "1Gi"}) == "1Gi"


def test_storage_on_a_volume() -> None:
    pod = pod_of(child_of("tune"))
    assert {"name": "storage", "persistentVolumeClaim": {"claimName": "artifacts"}} in pod["volumes"]
    assert {"name": "storage", "mountPath": "/mnt/llmworkflow/storage"} in pod["containers"][0][
        "volumeMounts"
    ]


def test_storage_in_a_bucket() -> None:
    storage = {
        "uri": "s3://bucket/team", "endpoint": "https://minio:9000", "cacheSize": "20Gi",
        "credentialsFrom": {"secretRef": {"name": "s3"}},
    }  # fmt: skip
    for group in ("head", "workers"):
        pod = pod_of(child_of("tune", storage=storage), group)
        assert {"name": "cache", "emptyDir": {"sizeLimit": "20Gi"}} in pod["volumes"]
        assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "s3"}}]
        assert env_of(pod)["AWS_ENDPOINT_URL"] == "https://minio:9000"


def test_secrets_are_referred_to() -> None:
    token, keys = ({"secretKeyRef": {"name": name, "key": "key"}} for name in ("hub", "keys"))
    model = {"source": "hf://org/model", "tokenFrom": token}
    chat = {"serve": {"models": [{"modelId": "viggo"}], "apiKeysFrom": keys}}
    child = child_of("chat", model=model, stages={"chat": chat})
    for group in ("head", "workers"):
        assert env_of(pod_of(child, group))["HF_TOKEN"] == token
        assert env_of(pod_of(child, group))["LLMWORKFLOW_API_KEYS"] == keys
    assert "LLMWORKFLOW_API_KEYS" not in env_of(pod_of(child_of("tune", stages={"chat": chat})))


def test_credentials_of_data_come_once() -> None:
    source = {"uri": "s3://data/x", "credentialsFrom": {"secretRef": {"name": "data"}}}
    stages = {"tune": {"fineTune": {"data": {"train": [source], "validation": [source]}}}}
    pod = pod_of(child_of("tune", stages=stages))
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "data"}}]


def test_what_jobs_rely_on_cannot_be_overridden() -> None:
    env = [{"name": "PYTHONPATH", "value": "/mine"}, {"name": "LLMWORKFLOW_CONFIG", "value": "/mine"}]
    found = env_of(pod_of(child_of("tune", ray={"env": env})))
    assert found["PYTHONPATH"] == "/opt/llmworkflow/jobs:/mine"
    assert found["LLMWORKFLOW_CONFIG"] == "/etc/llmworkflow/config.json"


def test_a_volume_for_models() -> None:
    model = {"source": "hf://org/model", "cache": {"claimName": "models", "path": "hub"}}
    pod = pod_of(child_of("tune", model=model))
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]
    assert env_of(pod)["HF_HOME"] == "/mnt/llmworkflow/models/hub/huggingface"


def test_pull_secrets_and_priority() -> None:
    ray = {"imagePullSecrets": [{"name": "registry"}], "priorityClassName": "high"}
    for group in ("head", "workers"):
        pod = pod_of(child_of("tune", ray=ray), group)
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["priorityClassName"] == "high"


def test_workers_spread_over_zones() -> None:
    child = child_of("chat", ray={"spreadZones": True})
    (constraint,) = pod_of(child)["topologySpreadConstraints"]
    labels = cluster_of(child)["workerGroupSpecs"][0]["template"]["metadata"]["labels"]
    assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()
    assert "topologySpreadConstraints" not in pod_of(child, "head")


def test_pod_templates_are_merged() -> None:
    template = {
        "metadata": {"annotations": {"a": "b"}},
        "spec": {
            "runtimeClassName": "nvidia",
            "containers": [{"name": "ray-worker", "tty": True}, {"name": "log", "image": "l"}],
        },
    }
    child = child_of("tune", ray={"worker": {"podTemplate": template}})
    pod = pod_of(child)
    assert pod["runtimeClassName"] == "nvidia"
    assert [container["name"] for container in pod["containers"]] == ["ray-worker", "log"]
    assert pod["containers"][0]["tty"] is True
    assert pod["containers"][0]["image"]
    assert "runtimeClassName" not in pod_of(child, "head")


# Security


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
    allowed = {"emptyDir", "configMap", "persistentVolumeClaim"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


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


def test_a_service_account_of_the_user() -> None:
    manifests = rendered(make_workflow(ray={"serviceAccountName": "ours"}), "tune")
    assert "ServiceAccount" not in kinds(manifests)
    (binding,) = [manifest for manifest in manifests if manifest["kind"] == "RoleBinding"]
    assert [subject["name"] for subject in binding["subjects"]] == ["ours"]
    assert pod_of(manifests[-1])["serviceAccountName"] == "ours"


def test_a_report_has_no_data_of_ours() -> None:
    assert "data" not in rendered(make_workflow(), "tune")[-2]


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
