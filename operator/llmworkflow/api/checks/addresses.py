"""Addresses of data, models and buckets, which mean something where the jobs run."""

import re
from collections.abc import Iterator

from llmworkflow.api.problems import Path, Problem
from llmworkflow.api.spec.addresses import (
    ADAPTER_SCHEMES,
    BUCKET_SCHEMES,
    DATA_SCHEMES,
    ENDPOINT_SCHEMES,
    MODEL_SCHEMES,
    OUTPUT_SCHEMES,
    beginnings,
)
from llmworkflow.api.spec.data import DataSource
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?(.*)", re.DOTALL)

Address = tuple[Path, str, tuple[str, ...]]
"""Where an address is written, the address, and the schemes that it may have."""

_Field = tuple[Path, str | None, tuple[str, ...]]  # the same, of a field that may not be set


def check(workflow: LLMWorkflow, local: bool) -> Iterator[Problem]:
    """Problems of every address; paths of this machine are right in a local run only."""
    for path, address, schemes in addresses(workflow):
        here = local and schemes != ENDPOINT_SCHEMES  # no path is a server
        allowed = tuple(dict.fromkeys((*schemes, "file"))) if here else schemes
        yield from _unreadable(path, address, allowed, here)
    yield from _entries_out_of_reach(workflow)
    folder = workflow.spec.storage.path
    if folder is not None and (folder.startswith("/") or ".." in folder.split("/")):
        remedy = "write a path below the storage, without .."
        yield Problem(("spec", "storage", "path"), "leaves the storage", remedy, value=folder)


def addresses(workflow: LLMWorkflow) -> Iterator[Address]:
    """Every address that is written in a workflow."""
    for path, address, schemes in _fields(workflow):
        if address is not None:
            yield path, address, schemes


def is_path(address: str) -> bool:
    """Whether an address has no scheme, and so is a path of the machine that reads it."""
    return _SCHEME.fullmatch(address) is None


def _fields(workflow: LLMWorkflow) -> Iterator[_Field]:
    spec = workflow.spec
    yield ("spec", "model", "source"), spec.model.source, MODEL_SCHEMES
    yield ("spec", "storage", "uri"), spec.storage.uri, BUCKET_SCHEMES
    for position, stage in enumerate(spec.stages):
        for path, address, schemes in _stage_fields(stage):
            yield ("spec", "stages", position, *path), address, schemes


def _stage_fields(stage: Stage) -> Iterator[_Field]:
    for path, source in _sources(stage):
        yield (*path, "uri"), source.uri, DATA_SCHEMES
    if stage.fine_tune:
        yield ("fineTune", "export", "mirror"), stage.fine_tune.export.mirror, OUTPUT_SCHEMES
    if stage.batch:
        yield ("batch", "input", "uri"), stage.batch.input.uri, DATA_SCHEMES
        yield ("batch", "output", "uri"), stage.batch.output.uri, OUTPUT_SCHEMES
        yield ("batch", "http", "url"), stage.batch.http.url if stage.batch.http else None, ENDPOINT_SCHEMES
        for place, adapter in enumerate(stage.batch.adapters or []):
            yield ("batch", "adapters", place, "uri"), adapter.uri, ADAPTER_SCHEMES
    if stage.serve and stage.serve.tracing:
        yield ("serve", "tracing", "endpoint"), stage.serve.tracing.endpoint, ENDPOINT_SCHEMES
    for place, served in enumerate(stage.serve.models if stage.serve else []):
        yield ("serve", "models", place, "source"), served.source, MODEL_SCHEMES
        for number, adapter in enumerate(served.adapters or []):
            yield ("serve", "models", place, "adapters", number, "uri"), adapter.uri, ADAPTER_SCHEMES
    if stage.prefetch:
        yield ("prefetch", "mirror"), stage.prefetch.mirror, OUTPUT_SCHEMES


def _entries_out_of_reach(workflow: LLMWorkflow) -> Iterator[Problem]:
    """Entries of a dataset_info.json that no folder holds: an entry names a file beside it."""
    for position, stage in enumerate(workflow.spec.stages):
        for path, source in _sources(stage):
            if source.dataset and source.uri.startswith(("hf:", "https:", "http:")):
                yield Problem(
                    ("spec", "stages", position, *path, "dataset"),
                    "an entry names a file in the folder of its dataset_info.json, and uri is no folder",
                    f"copy the folder to one of {', '.join(beginnings(OUTPUT_SCHEMES))}, "
                    "or leave dataset out and name the file itself in uri",
                    value=source.dataset,
                )


def _sources(stage: Stage) -> Iterator[tuple[Path, DataSource]]:
    """The sources of a fine-tuning, and where they are written in its stage."""
    data = stage.fine_tune.data if stage.fine_tune else None
    for name, sources in (("train", data.train), ("validation", data.validation or [])) if data else ():
        for place, source in enumerate(sources):
            yield ("fineTune", "data", name, place), source


def _unreadable(path: Path, address: str, schemes: tuple[str, ...], paths: bool) -> Iterator[Problem]:
    known = beginnings(schemes)
    match = _SCHEME.fullmatch(address)
    remedy = f"begin it with {', '.join(known)}"
    if match is None:
        told = (
            "is no address of a server"
            if schemes == ENDPOINT_SCHEMES
            else "a path of one machine means nothing on a cluster"
        )
        if not paths:
            yield Problem(path, told, remedy, value=address)
        return
    scheme, _, rest = match.groups()
    if scheme not in schemes:
        yield Problem(path, f"the scheme {scheme} is not known here", remedy, value=address)
    elif not address.startswith(tuple(known)) or not rest.strip("/"):
        yield Problem(path, "is no complete address", f"write {beginnings((scheme,))[0]}…", value=address)
    elif scheme == "volume" and ".." in rest.split("/"):
        yield Problem(path, "leaves the volume", "write a path without ..", value=address)
