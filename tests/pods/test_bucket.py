"""The demo with a bucket in place of a volume, while pods are deleted in the middle of the work."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from tests.chart.helm import NAMESPACE as OPERATOR
from tests.cluster.api import Object, eventually
from tests.cluster.images import reference
from tests.cluster.supplies import secret

from .cluster import VOLUME, Pods
from .demo import Workflow, demo_files, demo_workflow, stage, stage_of, stages, wait_for

NAME, BUCKET, PORT = "s3", "team", 7070
KEEPER = f"keeper-{NAME}"
USER, PASSWORD = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
SAVE_STEPS, EPOCHS = 8, 4
SECONDS = 600
HEAD, WORKER = {"ray.io/node-type": "head"}, {"ray.io/node-type": "worker"}


@pytest.fixture(scope="module")
def namespace(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A namespace with an S3 server, and a Secret with its credentials."""
    name = pods.make_namespace()
    secret(pods.api, name, NAME, AWS_ACCESS_KEY_ID=USER, AWS_SECRET_ACCESS_KEY=PASSWORD)
    folder = tmp_path_factory.mktemp("s3")
    demo_files(folder / BUCKET)
    pods.make_volume(name, NAME, folder)
    for manifest in server(name):
        pods.api.create(manifest)
    eventually(lambda: pods.is_ready(name, NAME), 60, "the S3 server is ready")
    return name


@pytest.mark.capability("resume", "lost-heads", "bucket")
def test_deleted_pods_cost_neither_the_training_nor_a_row(pods: Pods, namespace: str) -> None:
    workflow = in_bucket(stages(demo_workflow(namespace), "tune", "score"), namespace)
    training = stage_of(workflow, "tune")["fineTune"]["training"]
    training |= {"numTrainEpochs": EPOCHS, "saveSteps": SAVE_STEPS}
    stage_of(workflow, "score")["batch"] |= {"output": {"format": "jsonl"}, "batchSize": 8}
    pods.api.create(workflow)

    checkpoint = f"tune/*/1/checkpoints/checkpoint-{2 * SAVE_STEPS}/complete.json"
    eventually(lambda: files(pods, namespace, checkpoint), SECONDS, "the second checkpoint")
    delete(pods, namespace, HEAD)
    delete(pods, OPERATOR, {})
    eventually(lambda: files(pods, namespace, "score/*/1/*"), SECONDS, "the batch has begun")
    delete(pods, namespace, WORKER)
    ended = wait_for(pods, namespace, "Succeeded")

    tuned, scored = stage(ended, "tune"), stage(ended, "score")
    print({name: metric["value"] for name, metric in tuned["metrics"].items()})
    assert tuned["metrics"]["resumedFromStep"]["value"] >= 2 * SAVE_STEPS
    assert tuned["metrics"]["steps"]["value"] == EPOCHS * 32
    assert scored["metrics"]["exactMatch"]["value"] >= 0.9
    assert scored["artifact"]["uri"].startswith(f"s3://{BUCKET}/")
    rows = pods.run_in(namespace, KEEPER, "sh", "-c", f"cat {folder_of(scored)}/rows/*")
    asked = pods.run_in(namespace, KEEPER, "cat", f"{VOLUME}/{BUCKET}/data/test.jsonl")
    assert inputs(rows) == inputs(asked)


def folder_of(stage: dict[str, Any]) -> str:
    """Where the keeper sees an artifact."""
    return f"{VOLUME}/{stage['artifact']['uri'].removeprefix('s3://')}"


def files(pods: Pods, namespace: str, pattern: str) -> list[str]:
    """Objects that the workflow has written."""
    places = f"{VOLUME}/{BUCKET}/artifacts/{namespace}/demo/{pattern}"
    return pods.run_in(namespace, KEEPER, "sh", "-c", f"ls -d {places} 2>/dev/null || true").split()


def delete(pods: Pods, namespace: str, labels: dict[str, str]) -> None:
    """Delete pods at once, as a node that is lost would."""
    found = pods.api.list("Pod", namespace, labels)
    assert found
    for pod in found:
        pods.api.delete("Pod", pod["metadata"]["name"], namespace, gracePeriodSeconds=0)


def inputs(lines: str) -> list[str]:
    """The inputs of rows, in order."""
    return sorted(json.loads(line)["input"] for line in lines.splitlines())


def in_bucket(workflow: Workflow, namespace: str) -> Workflow:
    """The workflow with all that it reads and writes in the bucket."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: moved(item) for name, item in value.items()}
        if isinstance(value, list):
            return [moved(item) for item in value]
        return value.replace("volume:", f"s3://{BUCKET}/") if isinstance(value, str) else value

    changed: Workflow = moved(workflow)
    changed["spec"]["storage"] = {
        "uri": f"s3://{BUCKET}/artifacts",
        "credentialsFrom": {"secretRef": {"name": NAME}},
        "endpoint": f"http://{NAME}.{namespace}.svc:{PORT}",
    }
    return changed


def server(namespace: str) -> list[Object]:
    """The pod and its Service; its folders are the buckets."""
    metadata = {"name": NAME, "namespace": namespace, "labels": {"app": NAME}}
    container = {
        "name": "server",
        "image": reference("versitygw"),
        "args": ["--port", f":{PORT}", "posix", "/volume"],
        "env": [{"name": "ROOT_ACCESS_KEY", "value": USER}, {"name": "ROOT_SECRET_KEY", "value": PASSWORD}],
        "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
    }
    volume = {"name": "volume", "persistentVolumeClaim": {"claimName": NAME}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [container], "volumes": [volume]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": NAME}, "ports": [{"port": PORT}]},
        },
    ]
