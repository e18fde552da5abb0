"""Asks a workflow for something in a person's name, wherever the workflow lives, and tells what came of it."""

import secrets
import time

import click

from llmworkflow.api.names import Verb
from llmworkflow.api.status import LLMWorkflowStatus, StageStatus
from llmworkflow.client.errors import ClientError
from llmworkflow.client.workflow import Workflow
from llmworkflow.core.asking import NothingToDoError, annotations, ask
from llmworkflow.core.requests import EVERY_STAGE

CARRY_OUT_SECONDS = 60  # a driver looks every half a second, unless Ray is being started anew
POLL_SECONDS = 0.2


def request(workflow: Workflow, verb: Verb, stage: str | None, revision: str = "", note: str = "") -> None:
    """Ask for something, and wait until it was carried out where something runs that does so.

    Raises:
        ClientError: it does not fit where the workflow stands, or came to nothing.
    """
    before = workflow.status()
    try:
        named, revision = ask(workflow.load(), before, verb, stage, revision)
    except NothingToDoError as error:
        raise ClientError(str(error)) from error
    token = secrets.token_hex(4)
    workflow.annotate(annotations(verb, named, revision, token, workflow.user(), note))
    name = workflow.name
    meant = "every stage that failed" if named == EVERY_STAGE else named
    if not workflow.driven():
        click.echo(f"{verb} {meant} of {name}: carried out at the next run")
        return
    after = _carried_out(workflow, verb, token)
    changed = [stage for stage in after.stages if _stand(stage) not in map(_stand, before.stages)]
    if all(named not in (stage.name, EVERY_STAGE) for stage in changed):
        raise ClientError(f"{verb} {meant} of {name} changed nothing: see `llmworkflow status {name}`")
    for stage_after in changed:
        click.echo(f"{stage_after.name}: {stage_after.state} {stage_after.message}".rstrip())


def _carried_out(workflow: Workflow, verb: Verb, token: str) -> LLMWorkflowStatus:
    deadline = time.monotonic() + CARRY_OUT_SECONDS
    while True:
        driven = workflow.driven()  # asked for first: a driver may carry it out and end
        status = workflow.status()
        if status.last_handled.get(verb) == token:
            return status
        if not driven or time.monotonic() > deadline:
            raise ClientError(
                f"{workflow.name} has not carried it out yet: it will at its next step or run; "
                "on a cluster, `llmworkflow doctor` tells whether the operator is well"
            )
        time.sleep(POLL_SECONDS)


def _stand(stage: StageStatus) -> StageStatus:
    """What tells whether a stage was changed by a request, which progress and a child that is tidied away do not."""
    return stage.model_copy(update={"progress": None, "child": None})
