"""`status`: where workflows stand."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import GROUP, KIND
from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_target
from llmworkflow.cli.view import age, columns, show, tree
from llmworkflow.client.reading import status_of
from llmworkflow.client.workflow import Target, Workflow

WATCH_SECONDS = 1.0
OUTPUT = click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "yaml", "wide", "name"]),
    help="The whole resource, more columns, or the name alone.",
)


@click.command()
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@click.option("-w", "--watch", is_flag=True, help="Follow until Ctrl-C.")
@OUTPUT
@ends_well
@on_target
def status(target: Target, name: str | None, everywhere: bool, watch: bool, output: str | None) -> None:
    """Show one workflow with its stages, or all workflows."""
    console = Console()
    if name and watch:
        _follow(target.workflow(name), console)
        return
    found = [target.workflow(name).resource()] if name else target.resources(everywhere)
    if output in ("json", "yaml", "name"):
        click.echo(printed(found, output))
    elif name and not output:
        console.print(tree(name, status_of(found[0]), datetime.now(UTC)))
    elif not found:
        click.echo(f"there is no workflow in {target.place}", err=True)
    else:
        show(_overview(found, wide=output == "wide"))


def printed(resources: Sequence[JsonObject], output: str) -> str:
    """Resources as kubectl prints them."""
    if output == "name":
        kind = f"{KIND.lower()}.{GROUP}"
        return "\n".join(f"{kind}/{item['metadata']['name']}" for item in resources)
    content = (
        resources[0] if len(resources) == 1 else {"apiVersion": "v1", "kind": "List", "items": [*resources]}
    )
    return json.dumps(content, indent=2) if output == "json" else to_yaml(content).rstrip("\n")


def _follow(workflow: Workflow, console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        try:
            while True:
                live.update(tree(workflow.name, workflow.status(), datetime.now(UTC)), refresh=True)
                time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def _overview(found: Sequence[JsonObject], wide: bool) -> Table:
    names = ["NAMESPACE", "NAME", "STAGE", "STATUS", "READY", "SCORE", "URL", "AGE"]
    table = columns(*names, *(["ATTEMPT", "REASON"] if wide else []))
    for resource in found:
        metadata, told = resource["metadata"], status_of(resource)
        ready = next((item for item in told.conditions if item.type == "Ready"), None)
        cells = [
            metadata.get("namespace", "default"),
            metadata["name"],
            told.stage,
            told.phase,
            ready.status if ready else "Unknown",
        ]
        cells += [told.score, told.url, age(metadata.get("creationTimestamp"), datetime.now(UTC))]
        more = [str(told.attempt or ""), ready.reason if ready else ""]
        table.add_row(*cells, *(more if wide else []))
    return table
