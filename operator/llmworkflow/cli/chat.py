"""`chat`: talk to what a workflow serves."""

import sys
from dataclasses import replace

import click

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_target
from llmworkflow.client.workflow import Target


@click.command()
@click.argument("name")
@click.argument("message", required=False)
@click.option("--model", metavar="ID", help="One of several that it serves; the first when omitted.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Longest answer, in tokens.",
)
@ends_well
@on_target
def chat(target: Target, name: str, message: str | None, model: str | None, max_tokens: int) -> None:
    """Ask the model that workflow NAME serves.

    Sends MESSAGE, else each line of standard input.

    A key that the endpoint asks for is that of $OPENAI_API_KEY, else one of the Secret that the workflow names.
    """
    with target.workflow(name).endpoint() as endpoint:
        asked = replace(endpoint, model=model or endpoint.model)
        if not message and sys.stdin.isatty():
            click.echo("a message a line, each answered by itself; Ctrl-D ends", err=True)
        for line in [message] if message else sys.stdin:
            for piece in asked.stream(line.rstrip("\n"), max_tokens):
                click.echo(piece, nl=False)
            click.echo()
