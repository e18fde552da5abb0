"""Taints of nodes, and whether a pod tolerates them."""

from collections.abc import Iterator

from llmworkflow.api.fields import JsonObject

_KEEPS_AWAY = ("NoSchedule", "NoExecute")


def untolerated(pod_spec: JsonObject, node: JsonObject) -> Iterator[str]:
    """The taints of a node that keep the pod away, as kubectl writes them."""
    tolerations = pod_spec.get("tolerations") or []
    for taint in node.get("spec", {}).get("taints") or []:
        if taint["effect"] in _KEEPS_AWAY and not any(_tolerates(each, taint) for each in tolerations):
            value = f"={taint['value']}" if taint.get("value") else ""
            yield f"{taint['key']}{value}:{taint['effect']}"


def _tolerates(toleration: JsonObject, taint: JsonObject) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
