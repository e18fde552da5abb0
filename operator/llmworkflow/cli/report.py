"""`report`: one page that an approver can decide from."""

import webbrowser
from datetime import UTC, datetime
from pathlib import Path

import click

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_target, only
from llmworkflow.client.workflow import Target


@click.command()
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; NAME-report.html when omitted.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@ends_well
@on_target
def report(target: Target, name: str | None, output: Path | None, show: bool) -> None:
    """Write one HTML page about workflow NAME. Scores, losses, rows won and lost, costs and lineage."""
    workflow = only(target, name)
    file = output or Path(f"{workflow.name}-report.html")
    file.write_text(workflow.page(datetime.now(UTC)), encoding="utf-8")
    click.echo(str(file))
    if show:
        webbrowser.open(file.resolve().as_uri())
