"""`status`: where workflows stand."""

import json
import time
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import NAMESPACE, find_home
from llmworkflow.cli.view import tree
from llmworkflow.local.home import WorkflowHome, default_root, workflows

WATCH_SECONDS = 1.0


@click.command()
@click.argument("name", required=False)
@NAMESPACE
@click.option("-w", "--watch", is_flag=True, help="Follow until Ctrl-C.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml", "name"]), help="Print the whole resource.")
@ends_well
def status(name: str | None, namespace: str, watch: bool, output: str | None) -> None:
    """Show one workflow with its stages, or all workflows."""
    console = Console()
    homes = [find_home(namespace, name)] if name else workflows(default_root())
    if output:
        click.echo(_printed(homes, output))
    elif name and watch:
        _follow(homes[0], console)
    elif name:
        console.print(tree(name, homes[0].status(), datetime.now(UTC)))
    else:
        console.print(_overview(homes))


def _follow(home: WorkflowHome, console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(tree(home.folder.name, home.status(), datetime.now(UTC)), refresh=True)
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def _overview(homes: list[WorkflowHome]) -> Table:
    table = Table(
        "NAMESPACE", "NAME", "STAGE", "STATUS", "READY", "SCORE", "URL", box=None, header_style="dim"
    )
    for home in homes:
        found = home.status()
        ready = next((item.status for item in found.conditions if item.type == "Ready"), "Unknown")
        table.add_row(
            home.folder.parent.name, home.folder.name, found.stage, found.phase, ready, found.score, found.url
        )
    return table


def _printed(homes: list[WorkflowHome], output: str) -> str:
    if output == "name":
        return "\n".join(f"llmworkflow.llmworkflow.io/{home.folder.name}" for home in homes)
    items = [{**home.load().dump(), "status": home.status().dump()} for home in homes]
    content = items[0] if len(items) == 1 else {"apiVersion": "v1", "kind": "List", "items": items}
    return json.dumps(content, indent=2) if output == "json" else to_yaml(content)
