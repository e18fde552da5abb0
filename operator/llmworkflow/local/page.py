"""The page of a workflow, read from a storage that this machine reaches, or made without one.

What reads a storage is imported where that is done: whoever only looks at clusters has no pyarrow.
"""

from collections.abc import Callable
from datetime import datetime

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.model import Prompt
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome
from llmworkflow.page.page import page_of
from llmworkflow.page.render import to_html
from llmworkflow.page.sources import Sources
from llmworkflow.render.stage_config import public, stage_config
from llmworkflow_jobs import config as job_config
from llmworkflow_jobs import prompt
from llmworkflow_jobs.errors import JobError


def page_html(home: WorkflowHome, now: datetime) -> str:
    """The page of a workflow of this machine as it stands now.

    Raises:
        LocalError: the storage cannot be reached.
    """
    from llmworkflow.local.machine import has_gpu
    from llmworkflow.local.storage import reached, storage_uri

    workflow = home.load()
    with reached(home, workflow):
        return html_of(read(workflow, home.status(), now, has_gpu(), storage_uri(home, workflow)))


def read(
    workflow: LLMWorkflow, status: LLMWorkflowStatus, now: datetime, accelerated: bool, uri: str
) -> Sources:
    """What the page is made from, with what lies on the storage.

    Raises:
        LocalError: the storage cannot be reached.
    """
    from llmworkflow.local.storage import no_work
    from llmworkflow.page.gather import gather
    from llmworkflow_jobs import storage

    config = job_config.parse(stage_config(workflow, no_work(workflow.spec.stages[0]), uri))
    try:
        return gather(workflow, status, now, accelerated, lambda path: storage.open_uri(path, config))
    except JobError as error:
        raise LocalError(f"{config.workflow_uri}: {error}") from error


def html_of(sources: Sources) -> str:
    """The page."""
    return to_html(page_of(sources, _messages(sources.workflow.spec.prompt)))


def _messages(written: Prompt) -> Callable[[JsonObject], list[dict[str, str]]]:
    """Makes a row's messages as the jobs did."""
    rendering = public(written)

    def messages(row: JsonObject) -> list[dict[str, str]]:
        try:
            return [dict(message) for message in prompt.messages_of(row, rendering)]
        except prompt.RowError as error:  # output.keep left out columns of the prompt
            return [{"role": "prompt", "content": f"not kept with the row: {error}"}]

    return messages
