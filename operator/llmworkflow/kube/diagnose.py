"""Why the pods of a child are not there: from pods, events and nodes to a reason and a remedy. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.names import PendingReason
from llmworkflow.kube.taints import untolerated

_PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CRASH = ("CrashLoopBackOff", "RunContainerError", "CreateContainerError")

_FOR_ONE_POD = "ReadWriteOncePod"


@dataclass(frozen=True)
class Evidence:
    """What lies around a pending child."""

    pods: Sequence[JsonObject] = ()
    events: Sequence[JsonObject] = ()
    nodes: Sequence[JsonObject] = ()
    claims: Sequence[JsonObject] = ()


@dataclass(frozen=True)
class Diagnosis:
    """What the pods wait for."""

    reason: PendingReason
    message: str


@dataclass(frozen=True)
class _Case:
    """One pending pod, or none where not even a pod could be made."""

    pod: JsonObject
    evidence: Evidence = field(repr=False)

    @property
    def name(self) -> str:
        return str(self.pod["metadata"]["name"])

    @property
    def spec(self) -> JsonObject:
        found: JsonObject = self.pod["spec"]
        return found

    def messages(self, *reasons: str) -> Iterator[str]:
        """Messages of the pod's events with one of these reasons, the latest first."""
        for event in reversed(self.evidence.events):
            if event["involvedObject"].get("name") == self.name and event.get("reason") in reasons:
                yield event.get("message", "")


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """What a person has to know first; None where nothing is wrong so far."""
    cases = [_Case(pod, evidence) for pod in evidence.pods if _waits(pod)]
    for rule in _RULES:
        for case in cases:
            if found := rule(case):
                return found
    return _not_made(evidence)


def of_refusal(message: str) -> Diagnosis:
    """What keeps the API server from making a child itself."""
    return _refusal(message) or Diagnosis(PendingReason.FORBIDDEN, message)


def _not_made(evidence: Evidence) -> Diagnosis | None:
    """Pods that the API server refuses to make; where others came since, it has made them after all."""
    newest = max((pod["metadata"].get("creationTimestamp", "") for pod in evidence.pods), default="")
    events = (
        event for event in reversed(evidence.events) if (event.get("lastTimestamp") or newest) >= newest
    )
    return next((found for event in events if (found := _of_event(event))), None)


def _of_event(event: JsonObject) -> Diagnosis | None:
    message = event.get("message", "")
    if found := _refusal(message):
        return found
    refused = re.search(r"is forbidden: |is invalid: |denied the request: ", message)
    if refused and event.get("reason", "").startswith("FailedToCreate"):
        return Diagnosis(PendingReason.FORBIDDEN, message[refused.end() :])
    return None


def _refusal(message: str) -> Diagnosis | None:
    if "exceeded quota" in message:
        remedy = "raise the quota, or free what others use"
        return Diagnosis(PendingReason.QUOTA, f"{_from(message, 'exceeded quota')}; {remedy}")
    if "status unknown for quota" in message:
        remedy = "the cluster has yet to count what is used; this goes on by itself then"
        return Diagnosis(PendingReason.QUOTA, f"{_from(message, 'status unknown for quota')}; {remedy}")
    if "violates PodSecurity" in message:
        remedy = "change the pod templates, or the namespace's policy"
        return Diagnosis(PendingReason.FORBIDDEN, f"{_from(message, 'violates PodSecurity')}; {remedy}")
    if found := re.search(r'serviceaccount "([^"]+)" not found', message):
        remedy = "create it, or correct ray.serviceAccountName"
        return Diagnosis(PendingReason.ACCOUNT_MISSING, f"ServiceAccount {found[1]} is not there; {remedy}")
    return None


def _missing_object(case: _Case) -> Diagnosis | None:
    """A Secret or ConfigMap that a pod refers to."""
    told = [state.get("message", "") for state in _waiting(case.pod)]
    for message in [*told, *case.messages("Failed", "FailedMount")]:
        if found := re.search(r'(secret|configmap) "([^"]+)" not found', message):
            kind = {"secret": "Secret", "configmap": "ConfigMap"}[found[1]]
            return Diagnosis(
                PendingReason.SECRET_MISSING,
                f"pod {case.name} needs {kind} {found[2].split('/')[-1]}, which is not there; create it",
            )
        if found := re.search(r"couldn't find key (\S+) in (Secret|ConfigMap) (\S+)", message):
            place = f"{found[2]} {found[3].split('/')[-1]}"
            return Diagnosis(
                PendingReason.SECRET_MISSING,
                f"pod {case.name} needs key {found[1]} of {place}, which is not there; add it",
            )
    return None


def _image(case: _Case) -> Diagnosis | None:
    for state in _waiting(case.pod):
        if state.get("reason") in _PULL:
            images = ", ".join(dict.fromkeys(container["image"] for container in case.spec["containers"]))
            told = next(case.messages("Failed"), "") or state.get("message", "")
            return Diagnosis(
                PendingReason.IMAGE,
                f"pod {case.name} cannot pull {images}{': ' if told else ''}{told}; "
                "check ray.image and ray.imagePullSecrets",
            )
    return None


def _crash(case: _Case) -> Diagnosis | None:
    for state in _waiting(case.pod):
        if state.get("reason") in _CRASH:
            told = state.get("message", "")
            return Diagnosis(
                PendingReason.CRASHING, f"pod {case.name}: {state['reason']}: {told}; see the pod's log"
            )
    return None


def _claim(case: _Case) -> Diagnosis | None:
    """A claim that is not there, or that no volume fits."""
    known = {claim["metadata"]["name"]: claim for claim in case.evidence.claims}
    unschedulable = _unschedulable(case.pod) or ""
    for volume in case.spec.get("volumes") or []:
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name is None:
            continue
        if f'persistentvolumeclaim "{name}" not found' in unschedulable:
            message = f"pod {case.name} needs PersistentVolumeClaim {name}, which is not there; create it"
            return Diagnosis(PendingReason.CLAIM_MISSING, message)
        if known.get(name, {}).get("status", {}).get("phase") in ("Pending", "Lost"):
            phase = known[name]["status"]["phase"]
            message = f"PersistentVolumeClaim {name} is {phase}; check its storage class and size"
            return Diagnosis(PendingReason.CLAIM_PENDING, message)
        if _FOR_ONE_POD in unschedulable and _FOR_ONE_POD in _modes(known.get(name, {})):
            message = f"PersistentVolumeClaim {name} is for one pod ({_FOR_ONE_POD}), which has it"
            return Diagnosis(
                PendingReason.CLAIM_IN_USE, f"{message}; use a claim of access mode ReadWriteMany"
            )
    return _volume(case)


def _modes(claim: JsonObject) -> Sequence[str]:
    found: Sequence[str] = claim.get("spec", {}).get("accessModes") or ()
    return found


def _volume(case: _Case) -> Diagnosis | None:
    """A volume that does not come to the pod's node."""
    for told in case.messages("FailedAttachVolume", "FailedMount"):
        remedy = "pods on several nodes need a claim of access mode ReadWriteMany"
        multi = remedy if "Multi-Attach" in told else "check the claim and its storage class"
        return Diagnosis(PendingReason.VOLUME, f"pod {case.name}: {told}; {multi}")
    return None


def _schedule(case: _Case) -> Diagnosis | None:
    """No node takes the pod: for want of accelerators, because of taints, or for what the scheduler says."""
    told = _unschedulable(case.pod)
    if told is None:
        return None
    return _accelerators(case) or _taints(case, told) or _other(case, told)


def _accelerators(case: _Case) -> Diagnosis | None:
    """Compares the pod's accelerators with those of the nodes that its selector allows."""
    for resource, amount in _accelerators_of(case.spec).items():
        fitting = [node for node in case.evidence.nodes if _selects(case.spec, node)]
        offers = [_amount(node["status"].get("allocatable", {}).get(resource)) for node in fitting]
        selector = case.spec.get("nodeSelector") or {}
        where = f" with {', '.join(f'{key}={value}' for key, value in selector.items())}" if selector else ""
        if not case.evidence.nodes:
            continue
        if max(offers, default=0) == 0:
            return Diagnosis(
                PendingReason.NO_ACCELERATOR,
                f"pod {case.name} needs {amount} {resource} and no node{where} has any; choose another "
                "accelerator, or add such a node",
            )
        if max(offers) < amount:
            return Diagnosis(
                PendingReason.NO_ACCELERATOR,
                f"pod {case.name} needs {amount} {resource} on one node, and nodes{where} have at most "
                f"{max(offers)}; ask for fewer a worker",
            )
        if f"Insufficient {resource}" in (_unschedulable(case.pod) or ""):
            return Diagnosis(
                PendingReason.ACCELERATORS_IN_USE,
                f"pod {case.name} needs {amount} {resource}; nodes{where} have {sum(offers)} and others use "
                "them; it starts when some are free",
            )
    return None


def _taints(case: _Case, told: str) -> Diagnosis | None:
    """Nodes that the pod fits, but for their taints, which newer schedulers do not name."""
    if "untolerated taint" not in told:
        return None
    fitting = (node for node in case.evidence.nodes if _selects(case.spec, node))
    named = next((taint for node in fitting for taint in untolerated(case.spec, node)), None)
    if named is None and (found := re.search(r"untolerated taint \{([^}]*)\}", told)):
        named = found[1].strip()
    if named is None:
        return None
    return Diagnosis(
        PendingReason.TAINT,
        f"pod {case.name} does not tolerate the taint {named} of the nodes it fits; add it to "
        "ray.accelerator.tolerations",
    )


def _other(case: _Case, told: str) -> Diagnosis:
    return Diagnosis(PendingReason.UNSCHEDULABLE, f"no node takes pod {case.name}: {told}")


_RULES: Sequence[Callable[[_Case], Diagnosis | None]] = (
    _missing_object,
    _image,
    _crash,
    _claim,
    _schedule,
)


def _waits(pod: JsonObject) -> bool:
    """Whether a pod is on its way: what was the matter with one that runs is past."""
    if "deletionTimestamp" in pod["metadata"]:
        return False
    return pod.get("status", {}).get("phase", "Pending") == "Pending" or any(_waiting(pod))


def _waiting(pod: JsonObject) -> Iterator[JsonObject]:
    """Why containers do not run."""
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            if waiting := (container.get("state") or {}).get("waiting"):
                yield waiting


def _unschedulable(pod: JsonObject) -> str | None:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return str(condition.get("message", ""))
    return None


def _accelerators_of(spec: JsonObject) -> dict[str, int]:
    found: dict[str, int] = {}
    for container in spec["containers"]:
        limits = container.get("resources", {}).get("limits") or {}
        for resource, amount in limits.items():
            if "/" in resource:
                found[resource] = found.get(resource, 0) + _amount(amount)
    return found


def _selects(spec: JsonObject, node: JsonObject) -> bool:
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in (spec.get("nodeSelector") or {}).items())


def _amount(text: object) -> int:
    return int(str(text)) if str(text).isdecimal() else 0


def _from(message: str, words: str) -> str:
    return message[message.index(words) :]
