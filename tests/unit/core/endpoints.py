"""Endpoints that serve, and successors of theirs."""

from __future__ import annotations

import copy

from .builders import SPEC, workflow
from .simulator import SimulatedCluster

RATE = "stages.0.fineTune.training.learningRate"


def serving(*edits: tuple[str, object]) -> SimulatedCluster:
    return SimulatedCluster(workflow(*edits)).until_serving()


def judged_twice() -> SimulatedCluster:
    """An endpoint of a model that two batches judged, side by side."""
    spec = copy.deepcopy(SPEC)
    tune, batch, chat = spec["stages"]
    safety = {**copy.deepcopy(batch), "name": "safety", "dependsOn": ["tune"]}
    spec["stages"] = [
        tune,
        safety,
        {**batch, "dependsOn": ["tune"]},
        {**chat, "dependsOn": ["safety", "score"]},
    ]
    return SimulatedCluster(workflow(spec=spec))


def upgraded(cluster: SimulatedCluster, rate: float = 1e-3) -> SimulatedCluster:
    """Bring a successor up to the moment at which it is to be verified."""
    cluster.edit((RATE, rate))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    return cluster


def conditions(cluster: SimulatedCluster) -> dict[str, str]:
    return {item.type: item.status for item in cluster.status.conditions}
