"""`logs`: what a stage's job printed."""

import time
from pathlib import Path

import click

from llmworkflow.cli.errors import ends_well
from llmworkflow.cli.options import NAMESPACE, find_home
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, read_json

POLL_SECONDS = 0.3


@click.command()
@click.argument("name")
@click.argument("stage")
@NAMESPACE
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@ends_well
def logs(name: str, stage: str, namespace: str, follow: bool) -> None:
    """Print the output of a STAGE's latest attempt."""
    home = find_home(namespace, name)
    path = _latest_log(home, stage)
    with path.open(errors="replace") as log:
        click.echo(log.read(), nl=False)
        while follow and _is_alive(home, stage):
            time.sleep(POLL_SECONDS)
            click.echo(log.read(), nl=False)


def _latest_log(home: WorkflowHome, stage: str) -> Path:
    known = [item.name for item in home.load().spec.stages]
    if stage not in known:
        raise LocalError(f"{home.folder.name} has no stage {stage}; its stages are {', '.join(known)}")
    children = [
        path.stem for path in home.configs.glob("[!.]*.json") if read_json(path)["stage"]["name"] == stage
    ]
    found = [path for name in children if (path := home.logs / f"{name}.log").exists()]
    if not found:
        raise LocalError(f"stage {stage} of {home.folder.name} has not printed anything yet")
    return max(found, key=lambda path: path.stat().st_mtime)


def _is_alive(home: WorkflowHome, stage: str) -> bool:
    return home.driver() is not None and any(
        item.name == stage and item.child is not None for item in home.status().stages
    )
