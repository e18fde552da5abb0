"""What may become of a pod on the fake kubelet's node."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Runs:
    """It starts, and goes on."""


@dataclass(frozen=True)
class NeverStarts:
    """Its containers are being created for ever."""


@dataclass(frozen=True)
class ImagePullFails:
    """Its image is not to be had."""

    why: str = "failed to resolve reference: not found"


@dataclass(frozen=True)
class NotAttached:
    """A volume of it is on another node."""

    why: str = 'Multi-Attach error for volume "artifacts" Volume is already used by pod(s) head'


@dataclass(frozen=True)
class Evicted:
    """It runs, until the node has no memory left for it."""

    after: float = 0.5
    why: str = "The node was low on resource: memory."


@dataclass(frozen=True)
class Crashes:
    """It runs, until it ends by itself; then it is started again where its restartPolicy says so."""

    after: float = 0.5
    exit_code: int = 1
    reason: str = "Error"
    again: bool = False  # it would end at once each time, and is only tried again after a pause


OUT_OF_MEMORY = Crashes(exit_code=137, reason="OOMKilled")
DONE = Crashes(after=0, exit_code=0, reason="Completed")
CRASH_LOOP = Crashes(after=0, again=True)

Fate = Runs | NeverStarts | ImagePullFails | NotAttached | Evicted | Crashes
