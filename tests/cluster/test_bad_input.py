"""What is wrong with a workflow, its data, its storage or its pods is told as it is, and costs no more than it must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from llmworkflow.api.names import JobReason
from llmworkflow.api.status import StageState as S

from .conftest import Cluster
from .fates import OUT_OF_MEMORY, Evicted
from .job_journeys import runs, tune
from .journeys import Journey, Played, play, selected, shows
from .scene import SECONDS, Scene, eventually
from .scripts import DIES, NEVER_ENDS, Failure, JobScript
from .service_journeys import chat

TROUBLES: list[Journey] = []

pytestmark = pytest.mark.timeout(900)  # the first of the tests waits for all

# What jobs say when another attempt would meet the same; each of a stage that is named after it.
REPORTED = {
    "not-there": Failure(
        JobReason.FILE_NOT_FOUND, "volume:train.jsonl is not there; correct data.train[0].uri"
    ),
    "no-json": Failure(JobReason.DATA_INVALID, "train.jsonl, line 3, column 17: no JSON; correct the row"),
    "no-column": Failure(
        JobReason.COLUMN_MISSING, "train.jsonl, line 1: no column output; set prompt.columns"
    ),
    "no-rows": Failure(JobReason.DATA_EMPTY, "train.jsonl has no rows; add some"),
    "known": Failure(JobReason.DATA_OVERLAP, "3 prompts of test.jsonl are in train.jsonl; take them out"),
    "no-option": Failure(
        JobReason.OPTION_INVALID, "training.extra.padToken equals the EOS token; set another"
    ),
    "no-model": Failure(JobReason.MODEL_INVALID, "the model has no chat template; set prompt.chatTemplate"),
    "in-use": Failure(JobReason.PATH_IN_USE, "ml/viggo is of another workflow; set storage.adopt"),
    "no-package": Failure(JobReason.IMAGE_LACKS_PACKAGE, "the image has no rouge_score; add it to ray.pip"),
}


@shows(TROUBLES)
def what_only_the_operator_sees(scene: Scene) -> None:
    wrong = tune()
    wrong["fineTune"]["lora"] = {"rank": 64}
    models = [{"modelId": "viggo", "model": {"stage": "tune"}, "lora": {"maxRank": 16}}]
    serve = {"name": "chat", "serve": {"models": models}}
    scene.begin(wrong, serve)
    scene.stalls(
        "InvalidSpec",
        "spec.stages[1].serve.models[0].lora.maxRank = 16: the adapter of stage tune has rank 64",
        "raise maxRank to 64, or lower the rank",
    )
    assert not scene.api.list("RayJob", scene.namespace), "no GPU was taken"
    scene.edit(tune(), serve)
    scene.until("tune", S.SUCCEEDED)


@shows(TROUBLES)
def what_cannot_be_rendered(scene: Scene) -> None:
    scene.begin(tune(), ray={"accelerator": {"name": "unheard-of"}})
    scene.stalls("InvalidSpec", "unheard-of", "l4")
    assert not scene.api.list("RayJob", scene.namespace)


@shows(TROUBLES)
def what_jobs_report(scene: Scene) -> None:
    for name, failure in REPORTED.items():
        runs(scene, JobScript(status="FAILED", failure=failure), stage=name)
    scene.begin(*map(tune, REPORTED))
    for name in REPORTED:
        scene.until(name, S.FAILED)
    first, *others = REPORTED
    scene.tells(first, S.FAILED, REPORTED[first].reason, REPORTED[first].message, kind="Failed")
    for name in others:
        failure, stage = REPORTED[name], scene.stage(name)
        assert (stage["reason"], stage["message"]) == (failure.reason, failure.message)
        assert stage["attempt"] == 1, "another attempt would meet the same"
        scene.describes(failure.reason, failure.message)
    eventually(lambda: not scene.api.list("RayJob", scene.namespace), SECONDS, "the GPUs are free")


@shows(TROUBLES)
def storage_that_comes_back(scene: Scene) -> None:
    full = Failure("StorageError", "volume:ml is full; make room", retryable=True)
    runs(scene, JobScript(status="FAILED", failure=full), JobScript())
    scene.begin(tune())
    paused = scene.until("tune", S.WAITING, "RetryBackoff")
    assert paused["message"].startswith(
        f"attempt 1 failed (StorageError: {full.message}); the next begins at "
    )
    assert scene.until("tune", S.SUCCEEDED)["attempt"] == 2


@shows(TROUBLES)
def storage_that_does_not(scene: Scene) -> None:
    refused = Failure(
        "StorageError", "s3://bucket refuses the credentials; correct the Secret", retryable=True
    )
    runs(scene, JobScript(status="FAILED", failure=refused))
    scene.begin(tune(retries=1))
    scene.until("tune", S.WAITING, "RetryBackoff")
    scene.tells("tune", S.FAILED, "StorageError", f"{refused.message} (after 2 attempts)", kind="Failed")


@shows(TROUBLES)
def job_that_dies_without_a_word(scene: Scene) -> None:
    runs(scene, DIES)
    scene.begin(tune(retries=0))
    scene.tells("tune", S.FAILED, "JobFailed", "The driver died with exit code 137.", kind="Failed")


@shows(TROUBLES)
def head_that_is_evicted(scene: Scene) -> None:
    runs(scene, NEVER_ENDS, JobScript())
    submitted = scene.cluster.dashboard.submissions[scene.namespace, "tune"]
    scene.begin(tune())
    eventually(lambda: submitted, SECONDS, "it runs")
    scene.cluster.kubelet.tell(scene.namespace, Evicted(after=0), times=1, node_type="head")
    scene.until("tune", S.SUCCEEDED)
    assert len(submitted) == 2, "it began anew on another head, from its last checkpoint"


@shows(TROUBLES)
def worker_that_is_lost(scene: Scene) -> None:
    runs(scene, JobScript(seconds=8))
    scene.cluster.kubelet.tell(scene.namespace, OUT_OF_MEMORY, times=1, node_type="worker")
    scene.begin(tune())
    assert scene.until("tune", S.SUCCEEDED)["attempt"] == 1, "Ray starts the worker anew; the job goes on"
    assert len(scene.cluster.dashboard.submissions[scene.namespace, "tune"]) == 1


@shows(TROUBLES)
def node_that_is_lost(scene: Scene) -> None:
    accelerator: dict[str, Any] = {"type": "T4", "nodeSelector": {"nvidia.com/gpu.product": "Tesla-T4"}}
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    runs(scene, JobScript(seconds=8), stage="chat")
    scene.begin(chat(), ray={"accelerator": {**accelerator, "tolerations": [toleration]}})
    scene.until("chat", S.SERVING)
    scene.cluster.kubelet.lose_node("t4")
    scene.until("chat", S.DEGRADED, "EndpointUnhealthy")
    scene.describes("EndpointUnhealthy", "no pod of the endpoint is ready")
    scene.cluster.kubelet.add_node("t4")
    assert scene.until("chat", S.SERVING)["attempt"] == 1


@pytest.fixture(scope="module")
def played(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Mapping[str, Played]:
    """All that are asked for, at the same time."""
    return play(cluster, tmp_path_factory.mktemp("operator"), selected(request, TROUBLES))


@pytest.mark.parametrize("name", [journey.name for journey in TROUBLES])
def test_trouble_is_told(played: Mapping[str, Played], name: str) -> None:
    if error := played[name].error:
        raise error
