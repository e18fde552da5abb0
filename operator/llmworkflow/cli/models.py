"""`models`: what workflows made, and which of it serves."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from rich.table import Table

from llmworkflow.api.metrics import is_score
from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.cli.errors import each, ends_well
from llmworkflow.cli.options import on_target
from llmworkflow.cli.view import age, columns, show
from llmworkflow.client.workflow import Target
from llmworkflow.core.registry import TunedModel


@click.command()
@click.argument("name", required=False)
@click.option("-A", "--all-namespaces", "everywhere", is_flag=True, help="Of all namespaces.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "yaml", "wide"]),
    help="Everything that is known of each, or more columns.",
)
@ends_well
@on_target
def models(target: Target, name: str | None, everywhere: bool, output: str | None) -> int:
    """List the models that workflows made, and which of them serve.

    On this machine they are those on the storage, on a cluster those that the status of the workflow knows of.
    """
    chosen = target.workflows(everywhere) if name is None else [target.workflow(name)]
    found = list[TunedModel]()
    code = each(chosen, lambda workflow: found.extend(workflow.models()))
    if output in ("json", "yaml"):
        content = [model.dump() for model in found]
        click.echo(json.dumps(content, indent=2) if output == "json" else to_yaml(content).rstrip("\n"))
    elif found:
        show(_table(found, wide=output == "wide"))
    else:
        click.echo(f"{name or target.place}: no model was made yet", err=True)
    return code


def _table(found: Sequence[TunedModel], wide: bool) -> Table:
    names = ["WORKFLOW", "STAGE", "REVISION", "TYPE", "BASE", "SCORES", "SERVES", "AGE"]
    table = columns(*names, *(["ATTEMPT", "DIGEST", "URI"] if wide else []))
    for model in found:
        cells = [
            model.workflow,
            model.stage,
            model.revision,
            model.type,
            model.base,
            _scores(model, wide),
            ", ".join(model.serves),
            age(model.made_at, datetime.now(UTC)),
        ]
        table.add_row(*cells, *([str(model.attempt), model.digest, model.uri] if wide else []))
    return table


def _scores(model: TunedModel, wide: bool) -> str:
    """Scores, else losses; the counts of batches, such as their rows, are for who asks for more."""
    scores = {name: value for name, value in model.scores.items() if wide or is_score(name)}
    return ", ".join(f"{name} {value:.4g}" for name, value in (scores or model.losses).items())
