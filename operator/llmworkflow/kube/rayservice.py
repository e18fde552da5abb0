"""What a RayService does. Its own Ready says nothing about a change of its configuration, or of its cluster."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import Reason
from llmworkflow.core.names import service_url
from llmworkflow.core.observation import ChildPhase
from llmworkflow.kube.look import Look

_BROKEN = ("DEPLOY_FAILED", "UNHEALTHY")


def look_at(service: JsonObject) -> Look:
    """The phase of a RayService. It never fails for good by itself, except when it takes too long to start."""
    status = service.get("status") or {}
    conditions = {found["type"]: found for found in status.get("conditions") or []}
    ready = conditions.get("Ready", {})
    if ready.get("reason") == "InitializingTimeout":
        message = ready.get("message") or "no application was ready in time"
        return Look(ChildPhase.FAILED, Reason.PENDING_TIMEOUT, message)
    if _holds(conditions, "Suspending") or _holds(conditions, "Suspended"):
        return Look(ChildPhase.QUEUED)
    if service["spec"].get("suspend") and not status:
        return Look(ChildPhase.QUEUED)
    if ready.get("reason") == "ValidationFailed":
        message = f"KubeRay refuses the RayService: {ready.get('message', '')}"
        return Look(ChildPhase.UNHEALTHY, Reason.INVALID_SPEC, message)
    return _by_applications(service, conditions)


def address(service: JsonObject) -> str:
    """Where clients in the cluster find the endpoint; the same for as long as the service exists."""
    metadata = service["metadata"]
    return service_url(metadata["name"], metadata["namespace"])


def applications(service: JsonObject) -> list[str]:
    """Names of the applications that are to run; empty where the configuration cannot be read."""
    text = service["spec"].get("serveConfigV2") or ""
    try:
        named = [application["name"] for application in _parsed(text)["applications"]]
    except (ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError):
        return []
    return [name for name in named if isinstance(name, str)]  # anybody may have edited it


def _by_applications(service: JsonObject, conditions: Mapping[str, JsonObject]) -> Look:
    status = service.get("status") or {}
    active, pending = _states(status, "activeServiceStatus"), _states(status, "pendingServiceStatus")
    broken = {name: state for name, state in {**active, **pending}.items() if state["status"] in _BROKEN}
    if broken:
        told = "; ".join(f"{name} is {state['status']}: {state['message']}" for name, state in broken.items())
        return Look(ChildPhase.UNHEALTHY, Reason.UNHEALTHY, told)
    ready = conditions.get("Ready", {})
    if ready.get("status") == "True":
        done = _is_current(service, ready) and not _holds(conditions, "UpgradeInProgress")
        wanted = applications(service)
        running = bool(wanted) and all(active.get(name, {}).get("status") == "RUNNING" for name in wanted)
        return Look(ChildPhase.READY if done and running else ChildPhase.RUNNING)
    was_ready = ready.get("reason") == "ZeroServeEndpoints"
    message = "no pod of the endpoint is ready" if was_ready else ""
    if not active and not pending:
        return Look(ChildPhase.PENDING, message=message)
    if was_ready:
        return Look(ChildPhase.UNHEALTHY, Reason.UNHEALTHY, message)
    return Look(ChildPhase.RUNNING)


def _is_current(service: JsonObject, ready: JsonObject) -> bool:
    """Whether KubeRay has looked at what the service is now."""
    return bool(ready.get("observedGeneration") == service["metadata"].get("generation"))


def _holds(conditions: Mapping[str, JsonObject], kind: str) -> bool:
    return conditions.get(kind, {}).get("status") == "True"


def _states(status: JsonObject, cluster: str) -> dict[str, dict[str, str]]:
    """State and message of the applications on one of the two clusters."""
    found = (status.get(cluster) or {}).get("applicationStatuses") or {}
    return {
        name: {"status": state.get("status", ""), "message": state.get("message", "")}
        for name, state in found.items()
    }


def _parsed(text: str) -> Any:
    """JSON, as this operator writes it, or YAML, as a person may have."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)
