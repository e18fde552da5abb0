"""`approve` and `reject`: a person's decision on what a stage made."""

import click

from llmworkflow.api.names import Verb
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import NAMESPACE, NOTE, find_only_home
from llmworkflow.cli.requests import request


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@NAMESPACE
@NOTE
@ends_well
def approve(name: str | None, stage: str | None, namespace: str, note: str) -> None:
    """Agree to what STAGE of workflow NAME made, so that the workflow goes on.

    Without STAGE the one that awaits approval, without NAME the only workflow. `report` shows what to decide on.
    """
    request(find_only_home(namespace, name), Verb.APPROVE, stage, note=note)


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@NAMESPACE
@NOTE
@ends_well
def reject(name: str | None, stage: str | None, namespace: str, note: str) -> None:
    """Refuse what STAGE of workflow NAME made: the stage fails, and what serves goes on serving.

    Without STAGE the one that awaits approval, without NAME the only workflow. `approve` takes it back.
    """
    request(find_only_home(namespace, name), Verb.REJECT, stage, note=note)
