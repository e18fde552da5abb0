"""`suspend` and `resume`: stop what runs without losing what is done, and go on."""

import click

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import NAMESPACE, find_only_home
from llmworkflow.cli.requests import local_user


@click.command()
@click.argument("name", required=False)
@NAMESPACE
@ends_well
def suspend(name: str | None, namespace: str) -> None:
    """Stop what workflow NAME runs and serves, and start nothing until `resume`.

    A later `run` leaves it suspended, unless its file sets spec.suspend itself.
    """
    home = find_only_home(namespace, name)
    home.suspend(local_user())
    click.echo(f"{home.folder.name} is suspended; `llmworkflow resume {home.folder.name}` goes on")


@click.command()
@click.argument("name", required=False)
@NAMESPACE
@ends_well
def resume(name: str | None, namespace: str) -> None:
    """Let workflow NAME go on after `suspend`."""
    home = find_only_home(namespace, name)
    home.resume()
    click.echo(f"{home.folder.name} goes on" + ("" if home.driver() else " at the next run"))
