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
    from llmworkflow.local.storage import reached  # pyarrow takes a moment to import
    from llmworkflow_jobs import storage
    from llmworkflow_jobs.errors import JobError

    with reached(home, workflow) as config:
        try:
            filesystem, path = storage.open_uri(f"{source}/config.json", config)
            with filesystem.open_input_stream(path) as stream:
                found: JsonObject = json.loads(stream.read())
        except FileNotFoundError as error:
            raise LocalError("it has no config.json") from error
        except (JobError, OSError, ValueError) as error:
            raise LocalError(str(error)) from error
    return found
