"""Values that the resource has room for and this version does not carry out: refused, rather than passed over."""

import re
from collections.abc import Iterator, Mapping, Sequence

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.serve import Application, Serve, ServedModel
from llmworkflow.api.spec.workflow import LLMWorkflow

# What answers behind /, and /- of Ray Serve itself.
_OF_THE_ENDPOINT = re.compile(r"/(v1|llmworkflow|tokenize|detokenize|docs|redoc|openapi\.json|-)(/|$)")


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
            endpoint = f"{workflow.metadata.name}-{stage.name}"
            yield from _beside((*path, "serve", "applications"), stage.serve.applications, endpoint)


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


def _beside(path: Path, applications: Sequence[Application], endpoint: str) -> Iterator[Problem]:
    """What Ray Serve refuses, and with it the endpoint; `endpoint` is the name of the endpoint's own application."""
    prefixes: dict[str, str] = {}
    for position, application in enumerate(applications):
        place = (*path, position)
        if application.name == endpoint:
            told = "is the name of the endpoint's own application"
            yield Problem((*place, "name"), told, "choose another", value=application.name)
        if not re.search(r"\w[.:]\w", application.import_path):
            told = "names no application in a module"
            yield Problem(
                (*place, "importPath"), told, "write module:application", value=application.import_path
            )
        prefix = application.route_prefix
        if refusal := _refused_prefix(prefix, prefixes):
            yield Problem((*place, "routePrefix"), *refusal, value=prefix)
        prefixes.setdefault(prefix, application.name)


def _refused_prefix(prefix: str, others: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with a path, and the remedy; `others` are the applications by theirs."""
    if re.search(r"/$|[{}]", prefix):
        plain = re.sub(r"/*$|/?[{].*", "", prefix)
        return (
            "Ray Serve takes no / at the end and no wildcard",
            f"write {plain}" if plain else "choose another",
        )
    if prefix in others:
        return f"belongs to application {others[prefix]}", "choose another"
    return ("belongs to the endpoint", "choose another") if _OF_THE_ENDPOINT.match(prefix) else None


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
