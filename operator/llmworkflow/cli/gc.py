"""`gc`: remove the artifacts that nothing needs any more."""

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from llmworkflow.cli.errors import each, ends_well
from llmworkflow.client.machine import Machine
from llmworkflow.local.home import WorkflowHome


@click.command()
@click.argument("name", required=False)
@click.option("-n", "--namespace", help="Namespace; all when neither this nor NAME is given.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@ends_well
def gc(name: str | None, namespace: str | None, dry_run: bool) -> int:
    """Remove what workflows of this machine need no more.

    From the storage of workflow NAME, else of all of the namespace, else of all. Of each stage the newest
    spec.storage.retention.keepRevisions stay, and what serves, served last, runs, or is an input of what stays.
    """
    console, machine = Console(), Machine(namespace)
    chosen = machine.workflows() if name is None else [machine.workflow(name)]
    return each(chosen, lambda workflow: _collect(workflow.home, dry_run, console))


def _collect(home: WorkflowHome, dry_run: bool, console: Console) -> None:
    from llmworkflow.local.storage import tidy  # pyarrow takes a moment to import

    found = tidy(home, dry_run)
    if found.taken:
        table = Table("STAGE", "REVISION", "ATTEMPT", "SIZE", "FINISHED", box=None, header_style="dim")
        for folder in found.taken:
            finished = folder.manifest["createdAt"] if folder.manifest else "never"
            table.add_row(folder.stage, folder.revision, str(folder.attempt), decimal(folder.size), finished)
        console.print(table)
    taken, left = (sum(folder.size for folder in part) for part in (found.taken, found.left))
    console.print(
        f"{home.folder.name}: {'would remove' if dry_run else 'removed'} {len(found.taken)} attempts of "
        f"{decimal(taken)} from {found.uri}; {len(found.left)} of {decimal(left)} stay",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
