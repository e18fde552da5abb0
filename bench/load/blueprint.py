"""One workflow whose jobs run, as the planner itself brings it there; a text that is copied a thousand times."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.parse import parse_workflow
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.core.actions import Action, CreateChild, DeleteChild
from llmworkflow.core.observation import ChildPhase, ChildSeen, Observed
from llmworkflow.core.plan import plan
from llmworkflow.core.report import parse_report
from llmworkflow.job_code import code_digest, job_code
from llmworkflow.render.manifests import render
from llmworkflow.render.settings import Settings
from llmworkflow.render.stage_context import report_name

NAMESPACE = "load"
PLACEHOLDER = "load-00000"
PLANS = 20  # more than it takes to come to rest
SCORE = {"value": 0.81, "low": 0.78, "high": 0.84, "n": 1000, "errors": 0, "truncated": 0, "missing": 0}
_UID = "00000000-0000-4000-8000-{:012d}"

_BATCH = {
    "model": {"stage": "tune"},
    "input": {"uri": "volume:test.jsonl"},
    "evaluate": {"metrics": ["exactMatch"]},
}
_GATES = [{"metric": "exactMatch", "min": 0.65}]
_SERVE = {"models": [{"modelId": "viggo", "model": {"stage": "tune"}}]}
_STAGES: dict[str, JsonObject] = {
    "tune": {"fineTune": {"data": {"train": [{"uri": "volume:train.jsonl"}]}}},
    "score": {"dependsOn": ["tune"], "batch": _BATCH, "gates": _GATES},
    "label": {"dependsOn": ["tune"], "batch": {**_BATCH, "input": {"uri": "volume:rest.jsonl"}}},
    "next": {"dependsOn": ["score"], "batch": {**_BATCH, "input": {"uri": "volume:next.jsonl"}}},
    "chat": {"dependsOn": ["next"], "serve": _SERVE},
}


def workflow_of(name: str, stages: list[JsonObject] | None = None) -> JsonObject:
    """A workflow to apply: one that tunes, runs two batches at once, then a third, and serves."""
    spec: JsonObject = {
        "model": {"source": "hf://Qwen/Qwen2.5-7B-Instruct"},
        "storage": {"volume": {"claimName": "artifacts"}},
        "ray": {"accelerator": {"name": "l4"}},
        "stages": stages or [{"name": name, **stage} for name, stage in _STAGES.items()],
    }
    named = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "llmworkflow.io/v1alpha1", "kind": "LLMWorkflow", "metadata": named, "spec": spec}


def report_of(work: JsonObject, state: str, kind: str = "rows") -> JsonObject:
    """What a job reports of the work that `work` names: workflow, stage, revision, attempt."""
    report: JsonObject = {"schemaVersion": 1, **work, "state": state}
    if state == "Running":
        return report | {"progress": {"percent": 40, "etaSeconds": 600, "message": "step 400 of 1000"}}
    artifact = {"uri": f"file:///artifacts/{work['stage']}", "digest": f"sha256:{'0' * 64}", "type": kind}
    return report | {"metrics": {"exactMatch": SCORE}, "artifact": artifact}


@dataclass(frozen=True)
class Blueprint:
    """A workflow with two running jobs. Names and uids in it are placeholders."""

    status: str
    actions: list[CreateChild]  # that made the jobs

    def status_of(self, name: str, uid: str) -> JsonObject:
        """The status of another workflow; uids of children are put into it once they are known."""
        found: JsonObject = json.loads(self.status.replace(PLACEHOLDER, name).replace(_UID.format(0), uid))
        return found

    def manifests_of(self, created: JsonObject) -> list[JsonObject]:
        """What the operator made for a workflow: the jobs, and beside them all else with what they have reported."""
        workflow, found = parse_workflow(created), dict[tuple[str, str], JsonObject]()
        for action in self.actions:
            own = replace(action, name=action.name.replace(PLACEHOLDER, workflow.metadata.name))
            for manifest in render(workflow, own, Settings(), job_code()):
                found[manifest["kind"], manifest["metadata"]["name"]] = manifest
            work = _work(action.work.stage, action.work.revision, workflow.metadata.uid)
            report = found["ConfigMap", report_name(workflow, action.work.stage)]
            report["data"] = {"report.json": json.dumps(report_of(work, "Running"))}
        return list(found.values())


def make_blueprint() -> Blueprint:
    """Let the planner bring a workflow to where two of its batches run."""
    rehearsal = _Rehearsal(_placeholder())
    rehearsal.settle()
    rehearsal.succeed("tune")
    rehearsal.settle()
    at_work = {stage.child.name for stage in rehearsal.status.stages if stage.child}
    status = rehearsal.status.model_dump(by_alias=True, mode="json", exclude_none=True)
    actions = [action for action in rehearsal.actions if action.name in at_work]
    return Blueprint(json.dumps(status), actions)


@dataclass
class _Rehearsal:
    """The children of one workflow in memory, whose jobs run at once."""

    workflow: LLMWorkflow
    status: LLMWorkflowStatus = field(default_factory=LLMWorkflowStatus)
    children: dict[str, ChildSeen] = field(default_factory=dict)
    actions: list[CreateChild] = field(default_factory=list)

    def settle(self) -> None:
        """Plan until nothing changes any more."""
        for _ in range(PLANS):
            seen = Observed(self.children, code_digest=code_digest(), image=Settings().image)
            planned = plan(self.workflow, self.status, seen, datetime.now(UTC))
            for action in planned.actions:
                self._carry_out(action)
            if planned.status == self.status and not planned.actions:
                return
            self.status = planned.status
        raise AssertionError(f"does not come to rest: {self.status}")

    def succeed(self, stage: str) -> None:
        """Let the job of a stage end well."""
        child = next(child for child in self.children.values() if child.stage == stage)
        report = parse_report(report_of(_work(stage, child.revision), "Succeeded", "adapter"))
        self.children[child.name] = replace(child, phase=ChildPhase.SUCCEEDED, report=report)

    def _carry_out(self, action: Action) -> None:
        match action:
            case CreateChild():
                self.actions.append(action)
                self.children[action.name] = _running(action, _UID.format(len(self.actions)))
            case DeleteChild():
                del self.children[action.name]


def _running(action: CreateChild, uid: str) -> ChildSeen:
    work = action.work
    report = parse_report(report_of(_work(work.stage, work.revision), "Running"))
    return ChildSeen(
        action.kind, action.name, uid, _UID.format(0), ChildPhase.RUNNING, PLACEHOLDER,
        stage=work.stage, revision=work.revision, attempt=work.attempt, settings=work.settings, report=report,
    )  # fmt: skip


def _placeholder() -> LLMWorkflow:
    manifest = workflow_of(PLACEHOLDER)
    manifest["metadata"] |= {"uid": _UID.format(0), "generation": 1}
    return parse_workflow(manifest)


def _work(stage: str, revision: str, uid: str = _UID.format(0)) -> dict[str, Any]:
    return {"workflow": uid, "stage": stage, "revision": revision, "attempt": 1}
