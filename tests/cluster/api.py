"""The Kubernetes API in plain dictionaries, for what tests and fakes do beside the programs under test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

Object = dict[str, Any]
T = TypeVar("T")

_CORE, _RAY, _RBAC = "/api/v1", "/apis/ray.io/v1", "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_CLUSTER_WIDE = {
    "Namespace", "Node", "PersistentVolume", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "PriorityClass", "SubjectAccessReview",
}  # fmt: skip
# Where kinds are that do not say themselves: those that are asked for by name.
_GROUPS = {
    "RayJob": _RAY, "RayService": _RAY, "RayCluster": _RAY,
    "LLMWorkflow": "/apis/llmworkflow.io/v1alpha1",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1",
    "EndpointSlice": "/apis/discovery.k8s.io/v1",
    "SubjectAccessReview": "/apis/authorization.k8s.io/v1",
    "NetworkPolicy": "/apis/networking.k8s.io/v1",
    "Role": _RBAC, "RoleBinding": _RBAC, "ClusterRole": _RBAC, "ClusterRoleBinding": _RBAC,
    "ValidatingAdmissionPolicy": _ADMISSION, "ValidatingAdmissionPolicyBinding": _ADMISSION,
    "PriorityClass": "/apis/scheduling.k8s.io/v1",
    "Lease": "/apis/coordination.k8s.io/v1",
    "Job": "/apis/batch/v1",
    "Deployment": "/apis/apps/v1",
}  # fmt: skip


@dataclass
class ApiError(Exception):
    """What the API server answered instead of doing it."""

    status: int
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}"


# What passes by itself once the API server is back.
UNAVAILABLE = (httpx.TransportError,)


class Api:
    """One user's view of the API; safe to use from several threads."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None where there is none."""
        try:
            return self._request("GET", path(kind, namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def list(
        self, kind: str, namespace: str | None = None, labels: dict[str, str] | None = None
    ) -> list[Object]:
        """The objects of a kind, of all namespaces where none is named."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        items: list[Object] = self._request("GET", path(kind, namespace), params={"labelSelector": selector})[
            "items"
        ]
        return items

    def create(self, manifest: Object) -> Object:
        """Create it; a field that the API does not know is an error, as with kubectl."""
        place = path(manifest["kind"], manifest["metadata"].get("namespace"))
        return self._request("POST", place, json=manifest, params={"fieldValidation": "Strict"})

    def apply(self, manifest: Object, manager: str = "tests") -> Object:
        """Apply it server-side, as `kubectl apply --server-side` does."""
        metadata = manifest["metadata"]
        return self._request(
            "PATCH",
            path(manifest["kind"], metadata.get("namespace"), metadata["name"]),
            json=manifest,
            params={"fieldManager": manager, "force": "true", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    def patch(self, kind: str, name: str, namespace: str | None, change: Object, part: str = "") -> Object:
        """Merge a change into an object, or into a part of it such as `status`."""
        return self._request(
            "PATCH",
            path(kind, namespace, name, part),
            json=change,
            headers={"Content-Type": "application/merge-patch+json"},
        )

    def delete(self, kind: str, name: str, namespace: str | None = None, **options: Any) -> None:
        """Delete it; what is not there stays away."""
        try:
            self._request("DELETE", path(kind, namespace, name), json=options)
        except ApiError as error:
            if error.status != 404:
                raise

    def token_of(self, account: str, namespace: str) -> str:
        """A token of a service account, as a pod of it has one."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = self._request("POST", path("ServiceAccount", namespace, account, "token"), json=request)
        return str(answer["status"]["token"])

    def as_bearer(self, token: str) -> Api:
        """The API as whoever has the token sees it."""
        return Api(_Bearer(self._client, token))  # type: ignore[arg-type]

    def _request(self, method: str, place: str, **arguments: Any) -> Object:
        answer = self._client.request(method, place, **arguments)
        if answer.is_error:
            raise _error(answer)
        content: Object = answer.json()
        return content


@dataclass
class _Bearer:
    """A client's connections with another's token."""

    client: httpx.Client
    token: str

    def request(
        self, method: str, place: str, headers: dict[str, str] | None = None, **rest: Any
    ) -> httpx.Response:
        headers = {**(headers or {}), "Authorization": f"Bearer {self.token}"}
        return self.client.request(method, place, headers=headers, **rest)


def path(kind: str, namespace: str | None = None, name: str = "", part: str = "") -> str:
    """Where an object is, or all of its kind."""
    plural = f"{kind.lower()}s".replace("policys", "policies").replace("classs", "classes")
    within = "" if kind in _CLUSTER_WIDE or not namespace else f"/namespaces/{namespace}"
    parts = [_GROUPS.get(kind, _CORE) + within, plural, name, part]
    return "/".join(part for part in parts if part)


def eventually(look: Callable[[], T | None], seconds: float, what: str, pause: float = 0.1) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(pause)
    return found


def through_outages(request: Callable[[], T], seconds: float = 300, forgiven: Sequence[int] = ()) -> T:
    """The answer to a request, also where the API server is away for a while, or says for long what is forgiven."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return request()
        except (ApiError, *UNAVAILABLE) as error:
            refused = isinstance(error, ApiError) and error.status < 500 and error.status not in forgiven
            if refused or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def condition(manifest: Object, kind: str) -> Object:
    """A condition of an object; empty where it has none of that type."""
    found: Iterable[Object] = manifest.get("status", {}).get("conditions") or []
    return next((entry for entry in found if entry["type"] == kind), {})


def read_yaml(file: Path) -> Object:
    """The one object in a file, by the parser that is written in C: KubeRay's definitions have 70,000 lines."""
    found: Object = yaml.load(file.read_text(), yaml.CSafeLoader)
    return found


def _error(answer: httpx.Response) -> ApiError:
    try:
        content = answer.json()
    except ValueError:
        content = {}
    return ApiError(answer.status_code, content.get("reason", ""), content.get("message", answer.text))
