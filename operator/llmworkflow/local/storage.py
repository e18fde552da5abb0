"""The storage of a workflow as this machine reaches it."""

from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import Work
from llmworkflow.local.home import WorkflowHome


def storage_uri(home: WorkflowHome, workflow: LLMWorkflow) -> str:
    """Where jobs find the storage: a bucket, or the folder that stands for a volume."""
    wanted = workflow.spec.storage
    if wanted.volume is None:
        return str(wanted.uri)
    folder = home.volume(wanted.volume.claim_name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder.as_uri()


def no_work(stage: Stage) -> Work:
    """A stand-in for the plan of a stage, where only the spec's part of its configuration matters."""
    return Work(stage.name, stage.kind, revision="", attempt=0)
