"""What commands may see and do, wherever workflows live."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from llmworkflow.api.checks.names import SUBDOMAIN
from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.client.doctor import Finding
from llmworkflow.client.endpoint import Endpoint
from llmworkflow.client.errors import ClientError
from llmworkflow.core.registry import TunedModel


def check_name(what: str, name: str) -> str:
    """The name, if it is one of Kubernetes': a part of a path, and nothing that leads elsewhere.

    Raises:
        ClientError: it is none.
    """
    if not SUBDOMAIN.fullmatch(name):
        raise ClientError(f"{name!r} is no name of a {what}: use a-z, 0-9 and -")
    return name


class Workflow(Protocol):
    """One workflow: on this machine a folder, on a cluster an object of its API server."""

    @property
    def namespace(self) -> str:
        """Its namespace."""

    @property
    def name(self) -> str:
        """Its name."""

    def load(self) -> LLMWorkflow:
        """What was last applied."""

    def status(self) -> LLMWorkflowStatus:
        """What came of it so far."""

    def resource(self) -> JsonObject:
        """All of it, as kubectl shows it."""

    def user(self) -> str:
        """Who asks."""

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Add annotations."""

    def suspend(self) -> None:
        """Set spec.suspend, in the name of the user."""

    def resume(self) -> None:
        """Take spec.suspend back, whoever set it."""

    def delete(self) -> None:
        """Delete it, with what it runs; what it made stays on its storage.

        Raises:
            LocalError: on this machine, something drives it.
        """

    def driven(self) -> bool:
        """Whether something carries requests out, as far as one can see."""

    def logs(self, stage: str, follow: bool) -> Iterator[str]:
        """What the latest attempt of a stage printed, in pieces."""

    def endpoint(self) -> AbstractContextManager[Endpoint]:
        """What it serves, within reach of this machine.

        Raises:
            ClientError: it serves nothing now, or the way there is closed.
        """

    def models(self) -> Sequence[TunedModel]:
        """The models that it made, the latest first."""

    def page(self, now: datetime) -> str:
        """The page that an approver decides from."""


class Target(Protocol):
    """A place where workflows live."""

    @property
    def place(self) -> str:
        """The place, in words."""

    @property
    def named(self) -> str | None:
        """The namespace that a person named; None where it is the place's own."""

    def workflow(self, name: str) -> Workflow:
        """One workflow.

        Raises:
            ClientError: there is none of this name.
        """

    def workflows(self, everywhere: bool = False) -> Sequence[Workflow]:
        """The workflows of the namespace, or of all."""

    def resources(self, everywhere: bool = False) -> Sequence[JsonObject]:
        """The workflows of the namespace, or of all, as kubectl shows them."""

    def examine(self) -> Iterator[Finding]:
        """What is there that workflows need."""
