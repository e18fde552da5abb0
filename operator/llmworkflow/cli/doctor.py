"""`doctor`: whether a place can run workflows."""

import click
from rich.text import Text

from llmworkflow.cli.errors import DONE, FAILED, ends_well
from llmworkflow.cli.options import on_target
from llmworkflow.cli.view import columns, show
from llmworkflow.client.doctor import Health, worst
from llmworkflow.client.workflow import Target

_STYLES = {Health.GOOD: "green", Health.UNSURE: "dim", Health.POOR: "yellow", Health.BAD: "bold red"}


@click.command()
@ends_well
@on_target
def doctor(target: Target) -> int:
    """Look over what workflows need, and what you may do.

    On a cluster, or on this machine. Exit code 1: not well.
    """
    findings = list(target.examine())
    table = columns("CHECK", "RESULT", "FOUND", "REMEDY")
    for item in findings:
        table.add_row(item.subject, Text(item.health, style=_STYLES[item.health]), item.told, item.remedy)
    show(table)
    return FAILED if worst(findings) is Health.BAD else DONE
