"""`approve` and `reject`: a person's decision on what a stage made."""

import click

from llmworkflow.api.names import Verb
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import NOTE, on_target, only
from llmworkflow.cli.requests import request
from llmworkflow.client.workflow import Target


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@NOTE
@ends_well
@on_target
def approve(target: Target, name: str | None, stage: str | None, note: str) -> None:
    """Agree to what STAGE of workflow NAME made: it goes on.

    Without STAGE the one that awaits approval, without NAME the only workflow. `report` shows what to decide on.
    """
    request(only(target, name), Verb.APPROVE, stage, note=note)


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@NOTE
@ends_well
@on_target
def reject(target: Target, name: str | None, stage: str | None, note: str) -> None:
    """Refuse what STAGE of workflow NAME made: it fails.

    What serves goes on serving, and `approve` takes it back. Without STAGE the one that awaits approval, without NAME
    the only workflow.
    """
    request(only(target, name), Verb.REJECT, stage, note=note)
