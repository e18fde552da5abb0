"""`logs`: what a stage's job or endpoint printed."""

import click

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_target
from llmworkflow.client.errors import ClientError
from llmworkflow.client.workflow import Target


@click.command()
@click.argument("name")
@click.argument("stage")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job or the endpoint ends.")
@ends_well
@on_target
def logs(target: Target, name: str, stage: str, follow: bool) -> None:
    """Print the output of a STAGE's latest attempt."""
    workflow = target.workflow(name)
    known = [item.name for item in workflow.load().spec.stages]
    if stage not in known:
        raise ClientError(f"{name} has no stage {stage}; its stages are {', '.join(known)}")
    for piece in workflow.logs(stage, follow):
        click.echo(piece, nl=False)
