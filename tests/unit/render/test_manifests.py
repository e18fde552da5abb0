"""What is created for each kind of stage, and how it is tied together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmworkflow.api import names
from llmworkflow.core.revision import digest, result_fields
from llmworkflow.render.ray_settings import stage_named

from .builders import (
    CODE,
    WORK,
    child_of,
    cluster_of,
    group_of,
    kinds,
    make_workflow,
    pod_of,
    rendered,
)

STAGES = ("tune", "score", "chat")


def test_a_child_comes_after_everything_that_it_refers_to() -> None:
    shared = ["Role", "ConfigMap", "NetworkPolicy", "ServiceAccount", "RoleBinding"]
    assert kinds(rendered(make_workflow(), "tune")) == [*shared, "ConfigMap", "RayJob"]
    assert kinds(rendered(make_workflow(), "chat")) == [*shared, "NetworkPolicy", "RayService"]


@pytest.mark.capability("left-nothing")
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
        assert found == digest([manifest["metadata"], CODE.digest] if is_code else manifest)


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
    assert code["binaryData"] == {"llmworkflow_jobs.zip": CODE.archive}
    assert code["immutable"] is True
    mounted = {volume["name"]: volume for volume in pod_of(rendered(workflow, "tune")[-1])["volumes"]}
    assert mounted["job-code"]["configMap"]["name"] == code["metadata"]["name"]


def test_namesakes_in_other_workflows_are_other_objects() -> None:
    ours = make_workflow()
    another_uid = ours.metadata.model_copy(update={"uid": "another"})
    theirs = ours.model_copy(update={"metadata": another_uid})
    for left, right in zip(rendered(ours, "tune")[:-1], rendered(theirs, "tune")[:-1], strict=True):
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


@pytest.mark.capability("own-environment")
def test_packages() -> None:
    assert child_of("tune", ray={"pip": ["a==1"]})["spec"]["runtimeEnvYAML"] == '{"pip": ["a==1"]}'


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ({}, (86400, 86400 + 30 * 86400)),
        ({"timeoutSeconds": 100}, (86400, 86400 + 200)),
        ({"timeoutSeconds": 100, "pendingTimeoutSeconds": 10}, (20, 220)),
        ({"timeoutSeconds": 2**31 - 1}, (86400, 2**31 - 1)),
    ],
)
def test_deadlines_of_kuberay_are_looser_than_the_planners(
    stage: dict[str, Any], expected: tuple[int, int]
) -> None:
    spec = child_of("tune", stages={"tune": stage})["spec"]
    assert (spec["preRunningDeadlineSeconds"], spec["activeDeadlineSeconds"]) == expected


@pytest.mark.capability("queue")
def test_a_queued_job_waits_for_kueue() -> None:
    child = child_of("tune", ray={"queue": "team-a"})
    assert child["metadata"]["labels"][names.LABEL_QUEUE] == "team-a"
    assert child["spec"]["suspend"] is True
    assert "suspend" not in child_of("tune")["spec"]


@pytest.mark.capability("prefetch")
def test_a_prefetch_takes_no_accelerator() -> None:
    workflow = make_workflow(stages={"tune": {"fineTune": None, "prefetch": {}}})
    child = rendered(workflow, "tune", work=replace(WORK["tune"], kind="prefetch"))[-1]
    assert child["spec"]["entrypoint"] == "python -m llmworkflow_jobs.prefetch"
    assert "nvidia.com/gpu" not in str(child)


# Services


@pytest.mark.capability("surge")
@pytest.mark.parametrize(("upgrade", "strategy"), [("surge", "NewCluster"), ("replace", "None")])
def test_upgrades(upgrade: str, strategy: str) -> None:
    child = child_of("chat", stages={"chat": {"serve": {"upgrade": upgrade}}})
    assert child["spec"]["upgradeStrategy"] == {"type": strategy}


def test_a_service_that_never_starts_is_given_up_at_last() -> None:
    """Later than the planner does: pods that come at once may load for as long as timeoutSeconds says."""

    def seconds(**limits: int) -> str:
        annotations = child_of("chat", stages={"chat": limits})["metadata"]["annotations"]
        return str(annotations["ray.io/initializing-timeout"])

    assert seconds() == f"{86400 + 2 * 3600}s"
    assert seconds(timeoutSeconds=100, pendingTimeoutSeconds=10) == "220s"


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


@pytest.mark.parametrize("template", [{"metadata": None}, {"metadata": {"annotations": None}}])
def test_a_template_without_annotations_gets_those_that_are_needed(template: dict[str, Any]) -> None:
    child = child_of("chat", ray={"head": {"podTemplate": template}})
    head = child["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]
    assert names.ANNOTATION_CLUSTER in head["metadata"]["annotations"]


def test_the_port_of_the_endpoint_is_open_on_workers() -> None:
    child = child_of("chat")
    assert child["spec"]["excludeHeadPodFromServeSvc"] is True
    assert {"name": "serve", "containerPort": 8000} in pod_of(child)["containers"][0]["ports"]


@pytest.mark.capability("autoscaling")
def test_a_service_that_may_shrink_to_nothing_keeps_its_ingress() -> None:
    models = [{"modelId": "viggo", "replicas": {"min": 0, "max": 2}}]
    child = child_of("chat", stages={"chat": {"serve": {"models": models}}})
    assert (group_of(child)["minReplicas"], group_of(child)["maxReplicas"]) == (0, 2)
    ingress = group_of(child, "ingress")
    assert (ingress["replicas"], ingress["maxReplicas"]) == (1, 1)
    assert "nvidia.com/gpu" not in pod_of(child, "ingress")["containers"][0]["resources"]["limits"]


@pytest.mark.capability("gcs")
def test_redis_keeps_the_state_of_a_service_only() -> None:
    password = {"secretKeyRef": {"name": "redis", "key": "password"}}
    ray = {"gcsFaultTolerance": {"redisAddress": "redis:6379", "redisPassword": password}}
    assert cluster_of(child_of("chat", ray=ray))["gcsFaultToleranceOptions"] == {
        "redisAddress": "redis:6379",
        "redisPassword": {"valueFrom": password},
    }
    assert "gcsFaultToleranceOptions" not in cluster_of(child_of("tune", ray=ray))
