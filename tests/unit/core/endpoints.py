"""Endpoints that serve, and successors of theirs."""

from __future__ import annotations

from .builders import workflow
from .simulator import SimulatedCluster

RATE = "stages.0.fineTune.training.learningRate"


def serving(*edits: tuple[str, object]) -> SimulatedCluster:
    return SimulatedCluster(workflow(*edits)).until_serving()


def upgraded(cluster: SimulatedCluster, rate: float = 1e-3) -> SimulatedCluster:
    """Bring a successor up to the moment at which it is to be verified."""
    cluster.edit((RATE, rate))
    cluster.settle()
    cluster.complete("tune")
    cluster.complete("score")
    return cluster


def conditions(cluster: SimulatedCluster) -> dict[str, str]:
    return {item.type: item.status for item in cluster.status.conditions}
