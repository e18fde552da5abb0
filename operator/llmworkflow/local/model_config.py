"""The config.json of a model that lies where this machine reaches it: a folder, the storage, a bucket."""

import json

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome


def read_config(home: WorkflowHome, workflow: LLMWorkflow, source: str) -> JsonObject:
    """The config.json in the folder of a model.

    Raises:
        LocalError: there is none, or its place cannot be reached.
    """
    from llmworkflow.local.storage import (
        no_work,
        storage_uri,
        use_storage,
    )  # pyarrow takes a moment to import
    from llmworkflow.render.stage_config import stage_config
    from llmworkflow_jobs import config as job_config
    from llmworkflow_jobs import storage
    from llmworkflow_jobs.errors import JobError

    use_storage(home, workflow)
    config = job_config.parse(
        stage_config(workflow, no_work(workflow.spec.stages[0]), storage_uri(home, workflow))
    )
    try:
        filesystem, path = storage.open_uri(f"{source}/config.json", config)
        with filesystem.open_input_stream(path) as stream:
            found: JsonObject = json.loads(stream.read())
    except FileNotFoundError as error:
        raise LocalError("it has no config.json") from error
    except (JobError, OSError, ValueError) as error:
        raise LocalError(str(error)) from error
    return found
