"""`events`: what happened to a workflow."""

from datetime import UTC, datetime

import click

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import on_cluster
from llmworkflow.cli.view import age, columns, show
from llmworkflow.client.cluster import Cluster
from llmworkflow.client.events import time_of


@click.command()
@click.argument("name")
@ends_well
@on_cluster("llmworkflow logs NAME")
def events(cluster: Cluster, name: str) -> None:
    """Show what happened to workflow NAME on a cluster. Also to the jobs, endpoints and pods that it runs now."""
    table, now = columns("AGE", "TYPE", "OBJECT", "REASON", "MESSAGE"), datetime.now(UTC)
    for event in cluster.workflow(name).events():
        about = event["involvedObject"]
        table.add_row(
            age(time_of(event), now),
            event.get("type", ""),
            f"{about['kind']}/{about['name']}",
            event.get("reason", ""),
            (event.get("message") or "").strip(),
        )
    show(table)
