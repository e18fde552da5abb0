"""`status`: where workflows stand."""

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import GROUP, KIND
from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_target, where
from llmworkflow.cli.patience import patiently
from llmworkflow.cli.view import View, age, columns, show, tree
from llmworkflow.client.reading import status_of
from llmworkflow.client.workflow import Target

WATCH_SECONDS = 1.0
_RESOURCES = ("json", "yaml", "name")  # outputs for programs
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
    if name and everywhere:
        raise click.UsageError(f"{name} is in one namespace: leave out --all-namespaces, or the name")
    if watch and output in _RESOURCES:
        raise click.UsageError(f"--watch shows what changes: leave out --output {output}")
    if watch:
        with suppress(KeyboardInterrupt):
            _follow(target, name, everywhere, output)
        return
    found = _found(target, name, everywhere)
    if output in _RESOURCES:
        click.echo(printed(found, output), nl=bool(found) or output != "name")
    elif name and not output:
        show(tree(name, status_of(found[0]), datetime.now(UTC)))
    elif not found:
        click.echo(f"there is no workflow {where(target)}", err=True)
    else:
        show(_overview(found, wide=output == "wide"))


def _found(target: Target, name: str | None, everywhere: bool) -> Sequence[JsonObject]:
    return target.resources(everywhere) if name is None else [target.workflow(name).resource()]


def printed(resources: Sequence[JsonObject], output: str) -> str:
    """Resources as kubectl prints them."""
    if output == "name":
        kind = f"{KIND.lower()}.{GROUP}"
        return "\n".join(f"{kind}/{item['metadata']['name']}" for item in resources)
    content = (
        resources[0] if len(resources) == 1 else {"apiVersion": "v1", "kind": "List", "items": [*resources]}
    )
    return json.dumps(content, indent=2) if output == "json" else to_yaml(content).rstrip("\n")


def _follow(target: Target, name: str | None, everywhere: bool, output: str | None) -> NoReturn:
    """Redraw on a terminal, and print what changed where there is none, for ever."""
    console = Console(markup=False)
    if name and not output:
        workflow = target.workflow(name)
        with View(console, name) as view:
            while True:
                view.show(patiently(workflow.status))
                time.sleep(WATCH_SECONDS)
    before: Sequence[JsonObject] = ()
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            found = patiently(partial(_found, target, name, everywhere))
            if live:
                live.update(_overview(found, wide=output == "wide"), refresh=True)
            elif found != before:
                show(_overview(found, wide=output == "wide"))
            before = found
            time.sleep(WATCH_SECONDS)


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
