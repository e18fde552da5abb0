"""RayJobs and RayServices as small as KubeRay takes them."""

from __future__ import annotations

import json
from typing import Any

Manifest = dict[str, Any]

NO_SUCH_GPU = {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-B200"}}


def ray_job(namespace: str, name: str, worker: dict[str, Any] | None = None, **spec: Any) -> Manifest:
    """A job with a head and a worker; `worker` is merged into the worker's pod."""
    defaults = {
        "submissionMode": "HTTPMode",
        "entrypoint": "python -c pass",
        "shutdownAfterJobFinishes": True,
        "rayClusterSpec": _cluster(worker or {}),
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": metadata, "spec": defaults | spec}


def ray_service(namespace: str, name: str, annotations: dict[str, str] | None = None) -> Manifest:
    """A service with one application on a worker."""
    metadata = {"name": name, "namespace": namespace, "annotations": annotations or {}}
    spec = {
        "serveConfigV2": json.dumps({"applications": [{"name": "app", "import_path": "module:app"}]}),
        "excludeHeadPodFromServeSvc": True,
        "rayClusterDeletionDelaySeconds": 1,
        "rayClusterConfig": _cluster({}),
    }
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": metadata, "spec": spec}


def _cluster(worker: dict[str, Any]) -> Manifest:
    ports = [{"name": "dashboard", "containerPort": 8265}, {"name": "serve", "containerPort": 8000}]
    head = {"containers": [{"name": "ray-head", "image": "ray:test", "ports": ports}]}
    workers = {"containers": [{"name": "ray-worker", "image": "ray:test"}], **worker}
    return {
        "rayVersion": "2.60.0",
        "headGroupSpec": {"rayStartParams": {}, "template": {"spec": head}},
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": 1,
                "minReplicas": 1,
                "maxReplicas": 1,
                "rayStartParams": {},
                "template": {"spec": workers},
            }
        ],
    }
