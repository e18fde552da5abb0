"""Promotions: what a serving stage serves or is to serve, complete enough to be returned to."""

from collections.abc import Mapping, Set
from typing import Any

from pydantic import BaseModel

from llmworkflow.api.fields import JsonObject, Mark, SpecModel, fields_of, map_key, mark_of
from llmworkflow.api.spec.common import RaySettings
from llmworkflow.api.spec.stage import Stage
from llmworkflow.api.spec.workflow import LLMWorkflow, WorkflowSpec
from llmworkflow.api.status import Metric, Promotion, StageStatus, Verdict
from llmworkflow.core.actions import Work
from llmworkflow.core.graph import ancestors, references, replayed
from llmworkflow.core.revision import digest as digest_of
from llmworkflow.core.revision import result_fields
from llmworkflow.core.view import View, World, verdict_of


def wanted(view: View) -> Promotion:
    """What the spec asks the stage to serve, of what its dependencies made."""
    world, serve = view.world, view.stage.serve
    assert serve is not None, "only a serving stage promotes"
    replay = replayed(world.workflow.spec, view.stage)
    inputs, metrics = _evidence(view, {*references(view.stage), replay})
    digest = offered(view.stage, view.revision, world.stages)
    return Promotion(
        stage=view.stage.name,
        revision=view.revision,
        digest=digest,
        model_id=serve.models[0].model_id,
        inputs=inputs,
        replay=replay if replay in inputs else None,
        metrics=metrics,
        spec=result_fields(world.workflow.spec, view.stage),
        since=view.time,
        user=_approver(view, digest),
    )


def offered(stage: Stage, revision: str, stages: Mapping[str, StageStatus]) -> str:
    """Digest of a revision of a serving stage and of the results that it would serve now."""
    found = {name: verdict_of(stages[name]) for name in references(stage) if name in stages}
    return digest_of([revision, {name: _identity(verdict) for name, verdict in found.items() if verdict}])


def workflow_for(workflow: LLMWorkflow, work: Work) -> LLMWorkflow:
    """The workflow from which work is rendered: the current one, but for what a promotion keeps of an older."""
    if not work.spec:
        return workflow
    return workflow.model_copy(update={"spec": _spec_for(workflow.spec, work.stage, work.spec)})


def spec_of(world: World, promotion: Promotion) -> LLMWorkflow:
    """The workflow as it was when the promotion was made, with the operational fields of now."""
    if promotion.spec == result_fields(world.workflow.spec, world.specs[promotion.stage]):
        return world.workflow
    spec = _spec_for(world.workflow.spec, promotion.stage, promotion.spec)
    return world.workflow.model_copy(update={"spec": spec})


def _evidence(view: View, needed: Set[str | None]) -> tuple[dict[str, Verdict], dict[str, Metric]]:
    """What is needed and what it was judged by, less the metrics that no gate saw; and those that gates saw."""
    inputs: dict[str, Verdict] = {}
    metrics: dict[str, Metric] = {}
    for name in ancestors(view.world.workflow.spec, view.stage):
        stage, verdict = view.world.specs[name], verdict_of(view.world.stages[name])
        if verdict and (name in needed or stage.gates):
            gated = {gate.metric for gate in stage.gates}
            seen = {key: metric for key, metric in verdict.metrics.items() if key in gated}
            inputs[name] = verdict.model_copy(update={"metrics": seen})
            metrics |= seen
    return inputs, metrics


def _identity(verdict: Verdict) -> list[str | int]:
    """What tells a result from any other, also from one of the same revision that was made anew."""
    return [verdict.revision, verdict.attempt, verdict.artifact.digest if verdict.artifact else ""]


def _approver(view: View, digest: str) -> str:
    """Who agreed last on the way to this promotion, empty where nobody had to."""
    before = [view.world.stages[name] for name in ancestors(view.world.workflow.spec, view.stage)]
    for status in (view.status, *reversed(before)):
        approval = status.approval
        if approval is None or not approval.approved or approval.digest not in (None, digest):
            continue
        if approval.revision == view.world.revisions[status.name]:
            return approval.user
    return ""


def _spec_for(current: WorkflowSpec, stage_name: str, kept: JsonObject) -> WorkflowSpec:
    """The spec with the kept fields of one stage, which alone is rendered from it."""
    spec = current.written()
    spec["model"] = _overlay(current.model, kept["model"])
    spec["prompt"] = _overlay(current.prompt, kept["prompt"])
    stage = next(stage for stage in current.stages if stage.name == stage_name)
    found = stage.written() | {stage.kind: _overlay(stage.work, kept[stage.kind])}
    if result_fields(current, stage)["ray"] != kept["ray"]:
        spec["ray"], found["ray"] = _ray_for(current, stage, kept["ray"])
    stages = [found if other is stage else other.written() for other in current.stages]
    return WorkflowSpec.model_validate(spec | {"stages": stages})


def _ray_for(current: WorkflowSpec, stage: Stage, kept: JsonObject) -> tuple[JsonObject, JsonObject | None]:
    """The Ray settings of the workflow and of the stage, with what was kept where it is set now."""
    common, own = current.ray.written(), stage.ray.written() if stage.ray else {}
    for name in (alias for alias, field in fields_of(RaySettings) if mark_of(field) is Mark.RESULT):
        layer = own if name in own and name in kept else common
        own.pop(name, None)
        common.pop(name, None)
        if name in kept:
            layer[name] = kept[name]
    return common, own or None


def _overlay(current: Any, kept: Any) -> Any:
    """The operational fields of `current`, and the others as kept; what was not kept was at its default."""
    if not isinstance(current, BaseModel) or not isinstance(kept, dict):
        return kept
    found: JsonObject = {}
    dumped = current.model_dump(mode="json", by_alias=True)
    for name, field in type(current).model_fields.items():
        alias, value = field.alias or name, getattr(current, name)
        if mark_of(field) is Mark.OPERATIONAL:
            found[alias] = dumped[alias]
        elif isinstance(field.default, BaseModel):
            found[alias] = _overlay(value, kept.get(alias, {}))
        elif alias in kept:
            key = map_key(field)
            found[alias] = _overlay_items(value, kept[alias], key) if key else _overlay(value, kept[alias])
    return found


def _overlay_items(current: list[SpecModel] | None, kept: list[JsonObject], key: str) -> list[JsonObject]:
    """The same for each item of a list that is a map; one that is there no more has nothing of now."""
    now = {item.dump()[key]: item for item in current or []}
    return [_overlay(now.get(item[key]), item) for item in kept]
