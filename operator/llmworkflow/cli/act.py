"""`retry`, `cancel` and `rollback`: a person steps in."""

import click

from llmworkflow.api.names import Verb
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import NAMESPACE, find_only_home
from llmworkflow.cli.requests import request


@click.command()
@click.argument("name", required=False)
@click.option("--from", "stage", metavar="STAGE", help="Stage to begin with; what failed when omitted.")
@NAMESPACE
@ends_well
def retry(name: str | None, stage: str | None, namespace: str) -> None:
    """Run stages of workflow NAME again, and whatever depends on them."""
    request(find_only_home(namespace, name), Verb.RETRY, stage)


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@NAMESPACE
@ends_well
def cancel(name: str | None, stage: str | None, namespace: str) -> None:
    """Stop STAGE of workflow NAME for good; `retry` goes on after all."""
    request(find_only_home(namespace, name), Verb.CANCEL, stage)


@click.command()
@click.argument("name", required=False)
@click.argument("stage", required=False)
@click.option(
    "--to", "revision", default="", metavar="REVISION", help="Which to go back to; else the one before."
)
@NAMESPACE
@ends_well
def rollback(name: str | None, stage: str | None, revision: str, namespace: str) -> None:
    """Go back to what STAGE of workflow NAME served before, and keep it until the spec changes."""
    request(find_only_home(namespace, name), Verb.ROLLBACK, stage, revision)
