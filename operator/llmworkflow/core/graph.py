"""Which stage needs which: by order (`dependsOn`), by data and by comparison (`betterThan`)."""

from llmworkflow.api import graph
from llmworkflow.api.spec.batch import Batch
from llmworkflow.api.spec.serve import ServedModel
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import WorkflowSpec

COMPARED_WITH = graph.INCUMBENTS  # targets of `betterThan` that are no stages


def references(stage: Stage) -> list[str]:
    """Names of the stages whose result this one reads, and which its revision therefore depends on."""
    found = (reference for reference in graph.references(stage) if reference.path[0] != "gates")
    return list(dict.fromkeys(reference.target for reference in found))


def dependencies(spec: WorkflowSpec, stage: Stage) -> list[str]:
    """Names of the stages that must have succeeded before this one starts."""
    ordered = graph.direct_dependencies(spec)[stage.name]
    return list(dict.fromkeys([*ordered, *(reference.target for reference in graph.references(stage))]))


def ancestors(spec: WorkflowSpec, stage: Stage) -> list[str]:
    """Names of all stages that lead to this one, in the order of the spec.

    What serves may be older than the spec, and made by stages that are no more.
    """
    by_name = {other.name: other for other in spec.stages}
    found: set[str] = set()
    pending = dependencies(spec, stage)
    while pending:
        name = pending.pop()
        if name in by_name and name not in found:
            found.add(name)
            pending.extend(dependencies(spec, by_name[name]))
    return [name for name in by_name if name in found]


def dependents(spec: WorkflowSpec, stage: str) -> list[str]:
    """Names of all stages that this one leads to, in the order of the spec."""
    return [other.name for other in spec.stages if stage in ancestors(spec, other)]


def replayed(spec: WorkflowSpec, stage: Stage) -> str | None:
    """The batch whose rows verify an endpoint: the last one before it that ran a model which it serves."""
    if stage.serve is None:
        return None
    served = {ran for model in stage.serve.models for ran in _served(model)}
    by_name = {other.name: other for other in spec.stages}
    for name in reversed(ancestors(spec, stage)):
        batch = by_name[name].batch
        if batch and batch.task == "generate" and not served.isdisjoint(_ran(batch)):
            return name
    return None


def _served(model: ServedModel) -> list[str | None]:
    """What a model of an endpoint answers with: stages, addresses of adapters, None for the workflow's base model."""
    adapters = [adapter.stage or adapter.uri for adapter in model.adapters or []]
    if model.model:
        return [model.model.stage]
    return adapters if model.source else [None, *adapters]


def _ran(batch: Batch) -> list[str | None]:
    """What answered the rows of a batch, in the same terms."""
    if batch.adapters:
        return [adapter.stage or adapter.uri for adapter in batch.adapters]
    return [batch.model.stage if batch.model else None]
