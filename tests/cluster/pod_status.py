"""What a kubelet writes into a pod's status, in the words of the real one."""

from __future__ import annotations

from typing import Any

Pod = dict[str, Any]
Status = dict[str, Any]


def running(
    pod: Pod, address: str, since: str, *, ready: bool, restarts: int = 0, last: Status | None = None
) -> Status:
    """All containers run; `last` is the state of containers in their life before."""
    containers = [
        _container(entry, {"running": {"startedAt": since}}, ready=ready, restarts=restarts, last=last)
        for entry in pod["spec"]["containers"]
    ]
    return _status(pod, "Running", since, containers, ready=ready, address=address)


def waiting(
    pod: Pod, since: str, reason: str, message: str = "", restarts: int = 0, last: Status | None = None
) -> Status:
    """The containers do not run, yet or again."""
    state = {"waiting": {"reason": reason, "message": message}}
    containers = [
        _container(entry, state, ready=False, restarts=restarts, last=last)
        for entry in pod["spec"]["containers"]
    ]
    return _status(pod, "Running" if restarts else "Pending", since, containers, ready=False)


def over(pod: Pod, since: str, last: Status) -> Status:
    """The containers have ended, well or not, and are not started again."""
    containers = [_container(entry, last, ready=False) for entry in pod["spec"]["containers"]]
    phase = "Failed" if last["terminated"]["exitCode"] else "Succeeded"
    return _status(pod, phase, since, containers, ready=False)


def evicted(pod: Pod, since: str, message: str) -> Status:
    """The node had no room for the pod any more."""
    return _status(pod, "Failed", since, [], ready=False) | {"reason": "Evicted", "message": message}


def ended(since: str, exit_code: int, reason: str) -> Status:
    """The state of a container that ended."""
    return {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": since, "finishedAt": since}}


def _container(
    entry: Any, state: Status, *, ready: bool, restarts: int = 0, last: Status | None = None
) -> Status:
    return {
        "name": entry["name"],
        "image": entry["image"],
        "imageID": "",
        "ready": ready,
        "started": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
    }


def _status(
    pod: Pod, phase: str, since: str, containers: list[Status], *, ready: bool, address: str | None = None
) -> Status:
    initialised = phase == "Running"
    states = {
        "PodReadyToStartContainers": True,
        "Initialized": initialised,
        "ContainersReady": ready,
        "Ready": ready,
    }
    bound = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": since}]
    return {
        "phase": phase,
        "startTime": since,
        **({"podIP": address, "podIPs": [{"ip": address}], "hostIP": address} if address else {}),
        "conditions": bound + [_condition(name, holds, since) for name, holds in states.items()],
        "containerStatuses": containers,
        "initContainerStatuses": [
            _container(entry, ended(since, 0, "Completed"), ready=True)
            for entry in pod["spec"].get("initContainers", [])
            if initialised
        ],
    }


def _condition(name: str, holds: bool, since: str) -> Status:
    reason = {} if holds else {"reason": "ContainersNotReady", "message": "containers with unready status"}
    return {"type": name, "status": str(holds), "lastTransitionTime": since, **reason}
