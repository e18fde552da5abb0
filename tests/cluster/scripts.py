"""What the fake Ray is to do: how a job ends, how an application comes up, how the dashboard itself fails."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class Failure:
    """Why a job says that it failed."""

    reason: str = "DataInvalid"
    message: str = "train.jsonl, line 3: column output is missing"
    retryable: bool = False


@dataclass(frozen=True)
class JobScript:
    """How one run of a job goes."""

    seconds: float = 0.5
    status: str = "SUCCEEDED"  # Ray's word for the end: SUCCEEDED, FAILED, STOPPED
    message: str = ""
    failure: Failure | None = None  # what its report says; without it a job that fails dies without a word
    metrics: Mapping[str, Any] = field(default_factory=dict)  # in place of those that its stage asks for
    reports: bool = True  # False: it ends without a report
    forgotten: bool = False  # Ray forgets it at its end, as a head does that is started anew


FAILS = JobScript(status="FAILED", failure=Failure())
DIES = JobScript(status="FAILED", message="The driver died with exit code 137.", reports=False)
STOPS = JobScript(status="STOPPED", reports=False)
NEVER_ENDS = JobScript(seconds=3600)


@dataclass(frozen=True)
class ServeScript:
    """How an application comes up."""

    seconds: float = 0.5
    status: str = "RUNNING"  # Ray's word, from `seconds` on: RUNNING, DEPLOY_FAILED, UNHEALTHY, DEPLOYING
    message: str = ""
    agreement: float = 1.0  # of the endpoint's answers with those of the scored batch
    verdict: bool = True  # False: the rows of the batch are replayed for ever

    def at(self, since: float) -> str:
        """The status of an application that has been as it is configured since then."""
        return self.status if time.monotonic() - since >= self.seconds else "DEPLOYING"


DEPLOY_FAILS = ServeScript(status="DEPLOY_FAILED", message="The deployment failed to start 3 times in a row.")
UNHEALTHY = ServeScript(status="UNHEALTHY", message="The engine died.")


class Fault(Enum):
    """How a dashboard fails."""

    ERROR_500 = "it answers 500 with a text"
    KUBE_STATUS = "it answers as the API server's proxy does when there is nothing behind it"
    HANGS_UP = "it closes the connection"
