"""`init`, `validate`, `render` and `plan`: a workflow file, before anything runs."""

from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import click

from llmworkflow.api.cron import next_time
from llmworkflow.api.load import load_valid_workflow, read_workflow_file
from llmworkflow.api.notes import notes
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.api.yaml_writer import to_yaml
from llmworkflow.cli.errors import BAD_INPUT, DONE, ends_well
from llmworkflow.cli.forecast import forecast
from llmworkflow.cli.memory import examine
from llmworkflow.cli.options import on_target
from llmworkflow.cli.run import read_workflow, tell_absent
from llmworkflow.cli.view import columns, show
from llmworkflow.client.apply import apply
from llmworkflow.client.cluster import Cluster
from llmworkflow.client.errors import ClientError
from llmworkflow.client.reading import status_of
from llmworkflow.client.workflow import Target
from llmworkflow.core.clock import stamp
from llmworkflow.job_code import job_code
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
    """Check the workflow in FILE. What is wrong is said, and where.

    Paths of this machine are right for `run --local` alone: they are listed, as a cluster would refuse them.
    """
    found = read_workflow_file(file)
    found.check(local=True)
    workflow = found.workflow
    click.echo(f"{file}: {workflow.metadata.name} is valid, {_stages(workflow)}")
    for line in found.notes():
        click.echo(f"without effect: {line}")
    tell_absent(workflow, file.parent)
    elsewhere = found.wrong(local=False)
    for line in elsewhere.lines() if elsewhere else ():
        click.echo(f"on one machine only: {line}")
    if schedule := workflow.spec.schedule:
        coming = stamp(next_time(schedule.cron, schedule.time_zone, datetime.now(UTC)))
        click.echo(f"its jobs run again by schedule, the next time at {coming}")


def _stages(workflow: LLMWorkflow) -> str:
    count = len(workflow.spec.stages)
    return f"{count} stage{'s' if count > 1 else ''}"


@click.command()
@FILE
@ends_well
def render(file: Path) -> None:
    """Print the manifests that the operator makes from FILE."""
    manifests = render_all(load_valid_workflow(file, local=False), Settings(), job_code())
    click.echo(to_yaml(*manifests), nl=False)


@click.command()
@FILE
@ends_well
@on_target
def plan(target: Target, file: Path) -> None:
    """Show what a run of FILE would create, repeat and reuse.

    And the GPUs and their memory that it takes. On a cluster its API server checks the file, too.
    """
    workflow, status = _on_cluster(target, file) if isinstance(target, Cluster) else _on_machine(target, file)
    local = not isinstance(target, Cluster)
    memory = examine(workflow, local)
    table = columns("STAGE", "KIND", "ACTION", "WHY", "GPUS", "MEMORY")
    for step in forecast(workflow, status, local):
        gpus = f"{step.gpus:g}" if step.gpus else "-"
        table.add_row(step.stage, step.kind, step.action, step.why, gpus, memory.of(step.stage))
    show(table)
    for line in memory.notes():
        click.echo(line)
    for note in notes(workflow):
        click.echo(f"without effect: {note}")
    if local:
        tell_absent(workflow, file.parent)


def _on_cluster(cluster: Cluster, file: Path) -> tuple[LLMWorkflow, LLMWorkflowStatus]:
    workflow = load_valid_workflow(file, local=False)
    return workflow, status_of(apply(cluster, workflow, dry_run=True).resource)


def _on_machine(machine: Target, file: Path) -> tuple[LLMWorkflow, LLMWorkflowStatus]:
    workflow = read_workflow(file)
    namespace = workflow.metadata.namespace
    if machine.named not in (None, namespace):
        raise ClientError(
            f"--namespace is {machine.named}, while `run --local` takes metadata.namespace, which is {namespace}: "
            "set that in the file, or leave --namespace out"
        )
    return workflow, WorkflowHome(default_root(), namespace, workflow.metadata.name).status()
