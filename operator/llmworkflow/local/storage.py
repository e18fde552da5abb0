"""The storage of a workflow as this machine reaches it, and what is removed from it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.actions import Work
from llmworkflow.core.registry import Manifest, TunedModel, of_storage
from llmworkflow.core.retention import Key, Stored, removable
from llmworkflow.local.errors import LocalError
from llmworkflow.local.home import WorkflowHome
from llmworkflow.local.secrets import Secrets
from llmworkflow.render.stage_config import stage_config
from llmworkflow_jobs import config as job_config
from llmworkflow_jobs import storage, stored
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import to_job_error
from llmworkflow_jobs.stored import Folder


def storage_uri(home: WorkflowHome, workflow: LLMWorkflow) -> str:
    """Where jobs find the storage: a bucket, or the folder that stands for a volume."""
    wanted = workflow.spec.storage
    if wanted.volume is None:
        return str(wanted.uri)
    folder = home.volume(wanted.volume.claim_name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder.as_uri()


def use_storage(home: WorkflowHome, workflow: LLMWorkflow) -> None:
    """Give this process, and what it starts, the variables by which storage and data are reached.

    Raises:
        LocalError: a Secret is not on this machine.
    """
    os.environ |= Secrets(home.root, workflow.metadata.namespace).environment(workflow)
    os.environ[storage.CACHE_ENV] = str(home.root / "cache")
    if workflow.spec.storage.endpoint:
        # For what opens buckets without the jobs' code.
        os.environ["AWS_ENDPOINT_URL"] = workflow.spec.storage.endpoint


def no_work(stage: Stage) -> Work:
    """A stand-in for the plan of a stage, where only the spec's part of its configuration matters."""
    return Work(stage.name, stage.kind, revision="", attempt=0)


@dataclass(frozen=True)
class Tidied:
    """What retention takes of a workflow's storage, and what it leaves."""

    uri: str
    taken: list[Folder]
    left: list[Folder]


def tidy(home: WorkflowHome, dry_run: bool = False) -> Tidied:
    """Remove the attempts that nothing needs any more.

    Raises:
        LocalError: the storage cannot be read or changed, or belongs to another workflow.
    """
    workflow = home.load()
    with reached(home, workflow) as config:
        # Before the status is read, which names an attempt before it begins: so what runs is never unknown to it.
        found = stored.folders(config)
        going = removable(workflow, home.status(), [_stored(folder) for folder in found])
        keys = {item.key for item in going}
        taken = [folder for folder in found if _key(folder) in keys]
        if not dry_run:
            stored.remove(taken, config)
    return Tidied(config.workflow_uri, taken, [folder for folder in found if folder not in taken])


def models(home: WorkflowHome, status: LLMWorkflowStatus) -> list[TunedModel]:
    """The models that a workflow has on its storage, by its status as it is worth now.

    Raises:
        LocalError: the storage cannot be read, or belongs to another workflow.
    """
    workflow = home.load()
    with reached(home, workflow) as config:
        found = [
            Manifest(_key(folder), _uri(config, folder), folder.digest, folder.manifest)
            for folder in stored.folders(config)
            if folder.manifest
        ]
    return of_storage(workflow, status, found)


@contextmanager
def reached(home: WorkflowHome, workflow: LLMWorkflow) -> Iterator[JobConfig]:
    """The part of a job's configuration that is about the storage, while that is reached as the workflow says.

    Raises:
        LocalError: the storage cannot be read or changed, or belongs to another workflow.
    """
    before = dict(os.environ)
    use_storage(home, workflow)
    storage.forget_buckets()
    stage = workflow.spec.stages[0]
    config = job_config.parse(stage_config(workflow, no_work(stage), storage_uri(home, workflow)))
    try:
        yield config
    except (JobError, OSError) as error:
        raise LocalError(f"{config.workflow_uri}: {to_job_error(error)}") from error
    finally:
        storage.forget_buckets()
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before


def _uri(config: JobConfig, folder: Folder) -> str:
    return "/".join([config.workflow_uri, *map(str, _key(folder))])


def _key(folder: Folder) -> Key:
    return folder.stage, folder.revision, folder.attempt


def _stored(folder: Folder) -> Stored:
    if folder.manifest is None:
        return Stored(_key(folder))
    inputs = folder.manifest.get("inputs", {})
    read = frozenset(_key_of(artifact["uri"]) for artifact in inputs.values())
    return Stored(_key(folder), finished_at=folder.manifest["createdAt"], inputs=read)


def _key_of(uri: str) -> Key:
    """The attempt whose folder has this address: wherever the storage was moved to, its last parts stay."""
    _, stage, revision, attempt = uri.rsplit("/", 3)
    return stage, revision, int(attempt)
