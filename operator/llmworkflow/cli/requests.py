"""Asks a workflow for something in a person's name, wherever the workflow lives, and tells what came of it."""

import os
import pwd
import secrets
import time
from collections.abc import Mapping
from typing import Protocol

import click

from llmworkflow.api.names import Verb
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageStatus
from llmworkflow.core.asking import NothingToDoError, annotations, ask
from llmworkflow.core.requests import EVERY_STAGE
from llmworkflow.local.errors import LocalError

CARRY_OUT_SECONDS = 60  # a driver looks every half a second, unless Ray is being started anew
POLL_SECONDS = 0.2


class Resource(Protocol):
    """A workflow as people's actions see it: on this machine a folder, on a cluster an object of its API server."""

    def load(self) -> LLMWorkflow:
        """What was last applied."""

    def status(self) -> LLMWorkflowStatus:
        """What came of it so far."""

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Add annotations."""

    def driver(self) -> object | None:
        """Whatever carries requests out, None while nothing does."""


def request(resource: Resource, verb: Verb, stage: str | None, revision: str = "", note: str = "") -> None:
    """Ask for something, and wait until it was carried out where something runs that does so.

    Raises:
        LocalError: it does not fit where the workflow stands, or came to nothing.
    """
    workflow, before = resource.load(), resource.status()
    try:
        named, revision = ask(workflow, before, verb, stage, revision)
    except NothingToDoError as error:
        raise LocalError(str(error)) from error
    token = secrets.token_hex(4)
    resource.annotate(annotations(verb, named, revision, token, local_user(), note))
    name = workflow.metadata.name
    meant = "every stage that failed" if named == EVERY_STAGE else named
    if not resource.driver():
        click.echo(f"{verb} {meant} of {name}: carried out at the next run")
        return
    after = _carried_out(resource, verb, token)
    changed = [stage for stage in after.stages if _stand(stage) not in map(_stand, before.stages)]
    if all(named not in (stage.name, EVERY_STAGE) for stage in changed):
        raise LocalError(f"{verb} {meant} of {name} changed nothing: see `llmworkflow status {name}`")
    for stage_after in changed:
        click.echo(f"{stage_after.name}: {stage_after.state} {stage_after.message}".rstrip())


def local_user() -> str:
    """The user of this process, as the operating system knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _carried_out(resource: Resource, verb: Verb, token: str) -> LLMWorkflowStatus:
    deadline = time.monotonic() + CARRY_OUT_SECONDS
    while True:
        driven = resource.driver()  # asked for first: a driver may carry it out and end
        status = resource.status()
        if status.last_handled.get(verb) == token:
            return status
        if not driven or time.monotonic() > deadline:
            name = resource.load().metadata.name
            raise LocalError(f"{name} has not carried it out yet: it will at its next step or run")
        time.sleep(POLL_SECONDS)


def _stand(stage: StageStatus) -> StageStatus:
    """What tells whether a stage was changed by a request, which progress does not."""
    return stage.model_copy(update={"progress": None})
