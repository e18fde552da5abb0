"""The page of a workflow of this machine."""

from datetime import datetime

from llmworkflow.api.fields import JsonObject
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.machine import has_gpu
from llmworkflow.local.storage import no_work, storage_uri, use_storage
from llmworkflow.page.gather import gather
from llmworkflow.page.page import page_of
from llmworkflow.page.render import to_html
from llmworkflow.render.stage_config import public, stage_config
from llmworkflow_jobs import config as job_config
from llmworkflow_jobs import prompt, storage
from llmworkflow_jobs.errors import JobError


def page_html(home: WorkflowHome, now: datetime) -> str:
    """The page as it stands now.

    Raises:
        LocalError: the storage cannot be reached.
    """
    workflow = home.load()
    use_storage(home, workflow)
    stage = workflow.spec.stages[0]
    config = job_config.parse(stage_config(workflow, no_work(stage), storage_uri(home, workflow)))
    try:
        sources = gather(workflow, home.status(), now, has_gpu(), lambda uri: storage.open_uri(uri, config))
    except JobError as error:
        raise LocalError(f"{config.workflow_uri}: {error}") from error
    rendering = public(workflow.spec.prompt)

    def messages(row: JsonObject) -> list[dict[str, str]]:
        try:
            return [dict(message) for message in prompt.messages_of(row, rendering)]
        except prompt.RowError as error:  # output.keep left out columns of the prompt
            return [{"role": "prompt", "content": f"not kept with the row: {error}"}]

    return to_html(page_of(sources, messages))
