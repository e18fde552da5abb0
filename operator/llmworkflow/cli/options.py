"""Options and look-ups that several commands share."""

import click

from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, default_root, workflows

NAMESPACE = click.option("-n", "--namespace", default="default", show_default=True, help="Namespace.")
NOTE = click.option("--note", default="", help="Why, to be kept with the decision.")


def find_home(namespace: str, name: str) -> WorkflowHome:
    """The folder of a workflow.

    Raises:
        LocalError: there is none of this name; names those that there are.
    """
    root = default_root()
    home = WorkflowHome(root, namespace, name)
    if not home.exists():
        known = (
            ", ".join(f"{item.folder.parent.name}/{item.folder.name}" for item in workflows(root)) or "none"
        )
        raise LocalError(f"no workflow {namespace}/{name} on this machine; there are: {known}")
    return home


def find_only_home(namespace: str, name: str | None) -> WorkflowHome:
    """The folder of a workflow, or of the only one that the namespace has.

    Raises:
        LocalError: there is none of this name, or no name and not exactly one workflow.
    """
    if name:
        return find_home(namespace, name)
    found = [home for home in workflows(default_root()) if home.folder.parent.name == namespace]
    if len(found) == 1:
        return found[0]
    if not found:
        raise LocalError(f"no workflow in namespace {namespace} on this machine")
    names = ", ".join(home.folder.name for home in found)
    raise LocalError(f"there are several workflows in namespace {namespace}: name one of {names}")
