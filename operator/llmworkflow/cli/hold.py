"""`suspend` and `resume`: stop what runs without losing what is done, and go on."""

import click

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_target, only
from llmworkflow.client.workflow import Target
from llmworkflow.core.commands import in_namespace


@click.command()
@click.argument("name", required=False)
@ends_well
@on_target
def suspend(target: Target, name: str | None) -> None:
    """Stop what workflow NAME runs and serves, until `resume`.

    Files that are applied later leave it suspended, unless they set spec.suspend themselves.
    """
    workflow = only(target, name)
    workflow.suspend()
    where = f"{workflow.name}{in_namespace(workflow.namespace)}"
    click.echo(f"{workflow.name} is suspended; `llmworkflow resume {where}` goes on")


@click.command()
@click.argument("name", required=False)
@ends_well
@on_target
def resume(target: Target, name: str | None) -> None:
    """Let workflow NAME go on after `suspend`."""
    workflow = only(target, name)
    workflow.resume()
    click.echo(f"{workflow.name} goes on" + ("" if workflow.driven() else " at the next run"))
