"""Which stages a stage needs, and which stages it refers to."""

from collections.abc import Iterator
from dataclasses import dataclass

from llmworkflow.api.problems import Path
from llmworkflow.api.spec.batch import Adapter, Batch
from llmworkflow.api.spec.serve import Serve
from llmworkflow.api.spec.stage import Kind, Stage
from llmworkflow.api.spec.workflow import WorkflowSpec

INCUMBENTS = ("serving", "base")  # words of gates[].betterThan that are no stages


@dataclass(frozen=True)
class Reference:
    """A field of a stage that names another stage."""

    path: Path  # from the stage on
    target: str
    kind: Kind  # what the other stage must be


def direct_dependencies(spec: WorkflowSpec) -> dict[str, tuple[str, ...]]:
    """What each stage depends on, by its name: as it says, else the stage before it."""
    before = [None, *(stage.name for stage in spec.stages)]
    return {
        stage.name: tuple(
            stage.depends_on if stage.depends_on is not None else [previous] if previous else []
        )
        for previous, stage in zip(before, spec.stages, strict=False)
    }


def all_dependencies(spec: WorkflowSpec) -> dict[str, frozenset[str]]:
    """What each stage depends on, over any number of steps, by its name. Only earlier stages count."""
    found: dict[str, frozenset[str]] = {}
    for name, direct in direct_dependencies(spec).items():
        earlier = [other for other in direct if other in found]
        found[name] = frozenset(earlier).union(*(found[other] for other in earlier))
    return found


def references(stage: Stage) -> Iterator[Reference]:
    """The stages that a stage refers to, beside dependsOn."""
    if stage.fine_tune and stage.fine_tune.model:
        yield Reference(("fineTune", "model", "stage"), stage.fine_tune.model.stage, "fineTune")
    if stage.batch:
        yield from _batch_references(stage.batch)
    if stage.serve:
        yield from _serve_references(stage.serve)
    for position, gate in enumerate(stage.gates):
        if gate.better_than and gate.better_than not in INCUMBENTS:
            yield Reference(("gates", position, "betterThan"), gate.better_than, "batch")


def used_fine_tunes(stage: Stage) -> Iterator[Reference]:
    """The fine-tuning stages whose adapter or model a stage loads."""
    return (reference for reference in references(stage) if reference.kind == "fineTune")


def _batch_references(batch: Batch) -> Iterator[Reference]:
    if batch.model:
        yield Reference(("batch", "model", "stage"), batch.model.stage, "fineTune")
    if batch.input.stage:
        yield Reference(("batch", "input", "stage"), batch.input.stage, "batch")
    if batch.through:
        yield Reference(("batch", "through", "stage"), batch.through.stage, "serve")
    yield from _adapter_references(("batch", "adapters"), batch.adapters or [])


def _serve_references(serve: Serve) -> Iterator[Reference]:
    for position, served in enumerate(serve.models):
        path = ("serve", "models", position)
        if served.model:
            yield Reference((*path, "model", "stage"), served.model.stage, "fineTune")
        yield from _adapter_references((*path, "adapters"), served.adapters or [])


def _adapter_references(path: Path, adapters: list[Adapter]) -> Iterator[Reference]:
    for position, adapter in enumerate(adapters):
        if adapter.stage:
            yield Reference((*path, position, "stage"), adapter.stage, "fineTune")
