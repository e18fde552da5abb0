"""What a shell saw: the children of a workflow and what their jobs reported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from llmworkflow.core.report import JobReport

ChildKind = Literal["RayJob", "RayService"]


class ChildPhase(StrEnum):
    """What a child does, in the words of neither KubeRay nor Ray."""

    QUEUED = "Queued"  # held back by Kueue or by its own suspend field; costs no attempt and no time
    PENDING = "Pending"  # its pods or processes are not all there
    RUNNING = "Running"  # its job runs, or its applications start
    READY = "Ready"  # a service: every application runs, for this generation, at two looks
    UNHEALTHY = "Unhealthy"  # a service that was ready, and is not
    SUCCEEDED = "Succeeded"  # a job
    FAILED = "Failed"  # for good, as far as the child goes


@dataclass(frozen=True)
class ChildSeen:
    """One child, as a live look or an up-to-date cache shows it."""

    kind: ChildKind
    name: str
    uid: str
    owner_uid: str
    phase: ChildPhase
    owner_name: str = ""  # of the workflow that owns it; empty where that is none
    stage: str = ""  # of its label
    revision: str = ""  # what it was last told to compute or serve
    attempt: int | None = None  # the same, where the shell can tell
    settings: str = ""  # the same: `Work.settings`, where the shell can tell
    spec_hash: str = ""  # digest of what was last rendered into it
    edited: bool = False  # its spec is no longer what was rendered
    terminating: bool = False
    reason: str = ""
    message: str = ""  # of a pending child: the diagnosis with its remedy
    permanent: bool = False  # a failure that another attempt would meet again
    url: str | None = None  # a service's address
    report: JobReport | None = None  # of this stage, revision and attempt; others are dropped by the shell


@dataclass(frozen=True)
class Refused:
    """Why the shell could not make a child, with the remedy."""

    reason: str
    message: str


@dataclass(frozen=True)
class Observed:
    """Everything the planner may know. A child that is not listed was looked for and is not there."""

    children: Mapping[str, ChildSeen] = field(default_factory=dict)  # by name
    refused: Mapping[str, Refused] = field(default_factory=dict)  # children that could not be made, by name
    input_digests: Mapping[str, str] = field(default_factory=dict)  # by uri, where the shell can see inputs
    code_digest: str = ""  # of the job code that this shell would mount
    image: str = ""  # that this shell would use by default
    # Why, by the stage whose child has no manifests.
    unrenderable: Mapping[str, str] = field(default_factory=dict)
    ending: bool = False  # whether the run on this machine ends, which withdraws all that is alive
    user_verified: bool = False  # whether the annotation with the user of an action can be trusted
