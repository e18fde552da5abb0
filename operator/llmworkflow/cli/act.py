"""`retry`, `cancel` and `rollback`: a person steps in."""

import click

from llmworkflow.api.names import Verb
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_target, only
from llmworkflow.cli.requests import request
from llmworkflow.client.workflow import Target


@click.command()
@click.argument("name", required=False)
@click.option("--from", "stage", metavar="STAGE", help="Stage to begin with; what failed when omitted.")
@ends_well
@on_target
def retry(target: Target, name: str | None, stage: str | None) -> None:
    """Run stages of workflow NAME again, and what depends on them."""
    request(only(target, name), Verb.RETRY, stage)


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@ends_well
@on_target
def cancel(target: Target, name: str | None, stage: str | None) -> None:
    """Stop STAGE of workflow NAME for good. `retry` goes on after all."""
    request(only(target, name), Verb.CANCEL, stage)


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@click.option(
    "--to", "revision", default="", metavar="REVISION", help="Which to go back to; else the one before."
)
@ends_well
@on_target
def rollback(target: Target, name: str | None, stage: str | None, revision: str) -> None:
    """Go back to what STAGE of workflow NAME served before. That stays until the spec changes."""
    request(only(target, name), Verb.ROLLBACK, stage, revision)
