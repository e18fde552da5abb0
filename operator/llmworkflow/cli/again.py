"""What failed is tried again by the next run of its file on this machine: who types it asks for that."""

import secrets

from llmworkflow.api.names import Verb
from llmworkflow.client.machine import local_user
from llmworkflow.core.asking import annotations, run_again
from llmworkflow.local.home import WorkflowHome


def try_again(home: WorkflowHome) -> None:
    """Ask for another attempt of the stages whose work failed, as `retry` does."""
    if stage := run_again(home.load(), home.status()):
        home.annotate(annotations(Verb.RETRY, stage, "", secrets.token_hex(4), local_user()))
