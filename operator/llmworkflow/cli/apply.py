"""`apply` and `delete`: workflows of a cluster come and change; those of a cluster and of this machine go."""

import time
from pathlib import Path

import click
from rich.console import Console

from llmworkflow.api.load import load_valid_workflow
from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_cluster, on_target
from llmworkflow.cli.outcome import Outcome, outcome
from llmworkflow.cli.patience import patiently
from llmworkflow.cli.run import conclude
from llmworkflow.cli.status import printed
from llmworkflow.cli.view import View
from llmworkflow.client import apply as applying
from llmworkflow.client.cluster import Cluster, ClusterWorkflow
from llmworkflow.client.workflow import Target

POLL_SECONDS = 1.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("-f", "--filename", type=click.Path(path_type=Path), help="FILE, as kubectl has it.")
@click.option("--wait", is_flag=True, help="Follow until it is ready, or failed.")
@click.option("--dry-run", is_flag=True, help="Have the API server check it, and change nothing.")
@click.option("-o", "--output", type=click.Choice(["json", "yaml", "name"]), help="Print the resource.")
@ends_well
@on_cluster("llmworkflow run FILE --local")
def apply(
    cluster: Cluster,
    file: Path | None,
    filename: Path | None,
    wait: bool,
    dry_run: bool,
    output: str | None,
) -> int | None:
    """Create the workflow in FILE on a cluster, or change it."""
    wanted = load_valid_workflow(_one(file, filename), local=False)
    applied = applying.apply(cluster, wanted, dry_run)
    metadata = applied.resource["metadata"]
    done = f"{printed([applied.resource], 'name')} {applied.done}{' (dry run)' if dry_run else ''}"
    click.echo(printed([applied.resource], output) if output else done)
    if not wait or dry_run:
        return None
    return _follow(
        ClusterWorkflow(cluster.api, metadata["namespace"], metadata["name"]), metadata["generation"]
    )


@click.command()
@click.argument("name")
@ends_well
@on_target
def delete(target: Target, name: str) -> None:
    """Delete workflow NAME, with all that it runs.

    One of this machine has to be stopped before. Artifacts stay on the storage, where another workflow of the same name
    sets storage.adopt.
    """
    target.workflow(name).delete()
    click.echo(f"{printed([{'metadata': {'name': name}}], 'name')} deleted")


def _one(file: Path | None, filename: Path | None) -> Path:
    found = file or filename
    if found is None or (file and filename):
        raise click.UsageError("name one FILE")
    return found


def _follow(workflow: ClusterWorkflow, generation: int) -> int:
    console = Console()
    with View(console, workflow.name) as view:
        while True:
            status = patiently(workflow.status)
            view.show(status)
            if outcome(status, generation) is not Outcome.WORKING:
                break
            time.sleep(POLL_SECONDS)
    return conclude(status, generation, console, workflow.load())
