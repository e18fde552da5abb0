"""The page of a workflow of this machine."""

from datetime import datetime

from llmworkflow.api.fields import JsonObject
from llmworkflow.core.actions import Work
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.machine import has_gpu
from llmworkflow.page.gather import gather
from llmworkflow.page.page import page_of
from llmworkflow.page.render import to_html
from llmworkflow.render.stage_config import public, stage_config
from llmworkflow_jobs import config as job_config
from llmworkflow_jobs import prompt, storage


def page_html(home: WorkflowHome, now: datetime) -> str:
    """The page as it stands now."""
    workflow = home.load()
    first = workflow.spec.stages[0]
    told = stage_config(
        workflow, Work(first.name, first.kind, revision="", attempt=0), home.storage_uri(workflow)
    )
    config = job_config.parse(told)
    sources = gather(workflow, home.status(), now, has_gpu(), lambda uri: storage.open_uri(uri, config))
    rendering = public(workflow.spec.prompt)

    def messages(row: JsonObject) -> list[dict[str, str]]:
        try:
            return [dict(message) for message in prompt.messages_of(row, rendering)]
        except prompt.RowError as error:  # output.keep left out columns of the prompt
            return [{"role": "prompt", "content": f"not kept with the row: {error}"}]

    return to_html(page_of(sources, messages))
