"""Options and look-ups that several commands share."""

import click

from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome, default_root, workflows

NAMESPACE = click.option("-n", "--namespace", default="default", show_default=True, help="Namespace.")


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
