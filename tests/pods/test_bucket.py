"""The demo with a bucket in place of a volume: data, model, checkpoints and artifacts."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from tests.cluster.api import Object
from tests.cluster.images import reference
from tests.cluster.supplies import secret

from .cluster import Pods
from .demo import Workflow, demo_files, demo_workflow, stage, stages, wait_for

NAME, BUCKET, PORT = "s3", "team", 7070
USER, PASSWORD = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)


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
    return name


def test_a_bucket_is_as_good_as_a_volume(pods: Pods, namespace: str) -> None:
    pods.api.create(in_bucket(stages(demo_workflow(namespace), "tune", "score"), namespace))

    ended = wait_for(pods, namespace, "Succeeded")

    assert stage(ended, "score")["metrics"]["exactMatch"]["value"] >= 0.9
    assert stage(ended, "tune")["artifact"]["uri"].startswith(f"s3://{BUCKET}/")


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
