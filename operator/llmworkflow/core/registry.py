"""The models that workflows made: what each was made from, what it scores, when, and which of them serves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, Metric, StageStatus, Verdict
from llmworkflow.core.policies.rerun import UP
from llmworkflow.core.retention import Key

_LOSSES = ("evalLoss", "trainLoss")


@dataclass(frozen=True)
class Manifest:
    """A finished attempt on a storage."""

    key: Key
    uri: str
    digest: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class TunedModel:
    """A model that a workflow made: an adapter, or a whole one."""

    namespace: str
    workflow: str
    stage: str
    revision: str
    attempt: int
    type: str
    base: str
    uri: str
    digest: str
    made_at: str
    scores: Mapping[str, float]
    losses: Mapping[str, float]
    serves: Sequence[str]  # the names by which clients reach it

    def dump(self) -> JsonObject:
        """As JSON, with the names of the resource."""
        found = asdict(self)
        return {{"made_at": "madeAt"}.get(name, name): value for name, value in found.items()}


def of_storage(
    workflow: LLMWorkflow, status: LLMWorkflowStatus, manifests: Sequence[Manifest]
) -> list[TunedModel]:
    """What lies on the storage, the latest first."""
    serving = _serving(workflow, status)
    scores = _scores_on_storage(manifests)
    found = [
        TunedModel(
            **_named(workflow, item.key),
            type=item.content["type"],
            base=item.content["base"]["source"],
            uri=item.uri,
            digest=item.digest,
            made_at=item.content["createdAt"],
            scores=scores.get(item.key, {}),
            losses=_losses(_numbers(item.content["metrics"])),
            serves=serving.get(item.key, ()),
        )
        for item in manifests
        if item.content["type"] != "rows"
    ]
    return sorted(found, key=lambda model: model.made_at, reverse=True)


def of_status(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> list[TunedModel]:
    """What the status still knows of, for whoever cannot look at the storage; the latest first."""
    serving = _serving(workflow, status)
    found: dict[Key, TunedModel] = {}
    for name, verdict, scores in _verdicts(workflow, status):
        key = (name, verdict.revision, verdict.attempt)
        artifact, known = verdict.artifact, found.get(key)
        if artifact is None or artifact.type == "rows":
            continue
        found[key] = TunedModel(
            **_named(workflow, key),
            type=artifact.type,
            base=workflow.spec.model.source,
            uri=artifact.uri,
            digest=artifact.digest,
            made_at=verdict.finished_at,
            scores=scores | dict(known.scores if known else {}),
            losses=_losses(_values(verdict.metrics)) or dict(known.losses if known else {}),
            serves=serving.get(key, ()),
        )
    return sorted(found.values(), key=lambda model: model.made_at, reverse=True)


def _named(workflow: LLMWorkflow, key: Key) -> dict[str, Any]:
    """Which model it is."""
    stage, revision, attempt = key
    metadata = workflow.metadata
    where = {"namespace": metadata.namespace, "workflow": metadata.name}
    return {**where, "stage": stage, "revision": revision, "attempt": attempt}


def _serving(workflow: LLMWorkflow, status: LLMWorkflowStatus) -> dict[Key, tuple[str, ...]]:
    """The names that each served result answers to."""
    specs = {stage.name: stage for stage in workflow.spec.stages}
    found: dict[Key, tuple[str, ...]] = {}
    for stage in status.stages:
        if stage.serving is None or stage.state not in UP or stage.name not in specs:
            continue
        for name, verdict in stage.serving.inputs.items():
            if names := tuple(_names(specs[stage.name], name)):
                key = (name, verdict.revision, verdict.attempt)
                found[key] = (*found.get(key, ()), *names)
    return found


def _names(stage: Stage, tuned: str) -> Iterator[str]:
    """The names under which a stage serves what another one made."""
    for model in stage.serve.models if stage.serve else ():
        if model.model and model.model.stage == tuned:
            yield model.model_id
        for adapter in model.adapters or ():
            if adapter.stage == tuned:
                yield f"{model.model_id}:{adapter.name}"


def _scores_on_storage(manifests: Iterable[Manifest]) -> dict[Key, dict[str, float]]:
    """The metrics of the batches that each model answered, a later batch over an earlier one."""
    found: dict[Key, dict[str, float]] = {}
    for item in sorted(manifests, key=lambda item: str(item.content["createdAt"])):
        model = item.content.get("model")
        if item.content["type"] == "rows" and model:
            key = _key_of(model["uri"])
            found[key] = found.get(key, {}) | _numbers(item.content["metrics"])
    return found


def _key_of(uri: str) -> Key:
    """The attempt whose folder has this address: wherever the storage was moved to, its last parts stay."""
    _, stage, revision, attempt = uri.rsplit("/", 3)
    return stage, revision, int(attempt)


def _verdicts(
    workflow: LLMWorkflow, status: LLMWorkflowStatus
) -> Iterator[tuple[str, Verdict, dict[str, float]]]:
    """Every verdict of a fine-tuning by its stage, with what is known to be its score."""
    tuned = {stage.name for stage in workflow.spec.stages if stage.fine_tune}
    promotions = [*(stage.serving for stage in status.stages), *status.history]
    for promotion in promotions:
        for name, verdict in promotion.inputs.items() if promotion else ():
            if promotion and verdict.kind == "fineTune":
                yield name, verdict, _values(promotion.metrics)
    now = {stage.name: stage for stage in status.stages}
    for name in tuned & now.keys():
        for verdict in now[name].results:
            current = (verdict.revision, verdict.attempt) == (now[name].revision, now[name].attempt)
            yield name, verdict, _current_scores(workflow, now, name) if current else {}


def _current_scores(workflow: LLMWorkflow, now: Mapping[str, StageStatus], tuned: str) -> dict[str, float]:
    """What the batches that read a stage's latest result measured."""
    found: dict[str, float] = {}
    for stage in workflow.spec.stages:
        if stage.batch and stage.batch.model and stage.batch.model.stage == tuned and stage.name in now:
            asked = stage.batch.evaluate.metrics if stage.batch.evaluate else []
            measured = _values(now[stage.name].metrics)
            found |= {name: measured[name] for name in asked if name in measured}
    return found


def _values(metrics: Mapping[str, Metric]) -> dict[str, float]:
    return {name: metric.value for name, metric in metrics.items() if metric.value is not None}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Values by name, of a manifest: plain ones, or what was measured on rows and has more to it than a value."""
    plain = {name: value["value"] if isinstance(value, Mapping) else value for name, value in metrics.items()}
    return {name: float(value) for name, value in plain.items() if value is not None}


def _losses(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in _LOSSES if name in metrics}
