"""Values that the resource has room for and this version does not carry out: refused, rather than passed over."""

from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.serve import Serve, ServedModel
from llmworkflow.api.spec.workflow import LLMWorkflow


def check(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Problems of every field whose value nothing would read."""
    retention = workflow.spec.storage.retention
    if retention.on_delete == "Delete":
        yield Problem(
            ("spec", "storage", "retention", "onDelete"),
            "a workflow is deleted without waiting for anything, so that nobody is left to delete its artifacts",
            "leave it at Retain, and delete the workflow's folder on the storage",
            value=retention.on_delete,
        )
    for position, stage in enumerate(workflow.spec.stages):
        path: Path = ("spec", "stages", position)
        if stage.serve:
            yield from _serving((*path, "serve"), stage.serve)


def _serving(path: Path, serve: Serve) -> Iterator[Problem]:
    for position, model in enumerate(serve.models):
        yield from _served((*path, "models", position), model)
    for position, application in enumerate(serve.applications):
        for place, variable in enumerate(application.env):
            if variable.value_from is not None:
                yield Problem(
                    (*path, "applications", position, "env", place, "valueFrom"),
                    "Ray Serve gives an application written values alone",
                    "set the variable in ray.env, which all applications see",
                )


def _served(path: Path, model: ServedModel) -> Iterator[Problem]:
    if model.engine != "vllm":
        yield Problem(
            (*path, "engine"),
            "Ray's server for SGLang says no token ids, by which an endpoint is verified here",
            "use vllm, which also serves what SGLang has scored",
            value=model.engine,
        )
    if model.parallelism.data != 1:
        yield Problem(
            (*path, "parallelism", "data"),
            "copies of an engine are replicas here",
            "set replicas.min and replicas.max",
            value=model.parallelism.data,
        )
