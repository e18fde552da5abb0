"""`init`, `validate`, `render` and `plan`: a workflow file, before anything runs."""

from importlib import resources
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from llmworkflow.api.load import load_valid_workflow
from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.cli.errors import BAD_INPUT, DONE, ends_well
from llmworkflow.cli.forecast import forecast
from llmworkflow.cli.run import read_workflow
from llmworkflow.job_code import code_files
from llmworkflow.local.home import WorkflowHome, default_root
from llmworkflow.render.first_run import render_all
from llmworkflow.render.settings import Settings

FILE = click.argument("file", type=click.Path(path_type=Path))


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("workflow.yaml"))
@ends_well
def init(file: Path) -> int:
    """Write a commented workflow to FILE."""
    if file.exists():
        click.echo(f"error: {file} exists already: name another file, or remove it", err=True)
        return BAD_INPUT
    file.write_text(resources.files("llmworkflow.cli").joinpath("starter.yaml").read_text())
    click.echo(f"wrote {file}; check it with `llmworkflow validate {file}`")
    return DONE


@click.command()
@FILE
@ends_well
def validate(file: Path) -> None:
    """Check the workflow in FILE as the cluster would, and say what is wrong and where."""
    workflow = load_valid_workflow(file, local=True)
    click.echo(f"{file}: {workflow.metadata.name} is valid, {len(workflow.spec.stages)} stages")


@click.command()
@FILE
@ends_well
def render(file: Path) -> None:
    """Print the Kubernetes manifests that the operator makes from FILE."""
    manifests = render_all(load_valid_workflow(file, local=False), Settings(), code_files())
    click.echo(to_yaml(*manifests), nl=False)


@click.command()
@FILE
@ends_well
def plan(file: Path) -> None:
    """Show what a run of FILE would create, run again and reuse, and the GPUs that it takes."""
    workflow = read_workflow(file)
    home = WorkflowHome(default_root(), workflow.metadata.namespace, workflow.metadata.name)
    table = Table("STAGE", "KIND", "ACTION", "WHY", "GPUS", box=None, header_style="dim")
    for step in forecast(workflow, home.status()):
        table.add_row(step.stage, step.kind, step.action, step.why, f"{step.gpus:g}" if step.gpus else "-")
    Console().print(table)
