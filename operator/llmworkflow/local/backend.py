"""Observe and execute on one machine: what a cluster's API server, KubeRay and pods do elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import requests

from llmworkflow.api.names import ANNOTATION_FOLDER
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.core.actions import Action, ApplyService, CreateChild, DeleteChild, Work
from llmworkflow.core.observation import ChildPhase, ChildSeen, Observed
from llmworkflow.core.report import JobReport, parse_report
from llmworkflow.job_code import code_digest
from llmworkflow.local.children import ChildRecord, ChildRecords, record_of
from llmworkflow.local.environment import plain_variables
from llmworkflow.local.home import WorkflowHome, read_json, write_json
from llmworkflow.local.jobs import Jobs
from llmworkflow.local.machine import HOST, has_gpu
from llmworkflow.local.port import Port
from llmworkflow.local.ray_process import RayAddress
from llmworkflow.local.services import Services
from llmworkflow.local.storage import no_work, storage_uri
from llmworkflow.render.manifests import ENTRYPOINTS
from llmworkflow.render.ray_settings import chosen_ray, stage_named
from llmworkflow.render.serve_config import serve_config
from llmworkflow.render.stage_config import stage_config
from llmworkflow_jobs import config as job_config
from llmworkflow_jobs import inputs, own_metric

RAY_AWAY = (
    ConnectionError,
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    httpx.TransportError,
)
"""What the clients raise when Ray does not answer, or only that it cannot now."""


class LocalBackend:
    """Children of one workflow in one running Ray."""

    def __init__(self, home: WorkflowHome, address: RayAddress, port: Port) -> None:
        self._home = home
        self._session = address.session
        self._port = port
        self._records = ChildRecords(home.children)
        self._jobs = Jobs(address, home.logs)
        self._services = Services(address, port, home.logs)
        self._input_digests: dict[int, dict[str, str]] = {}

    def observe(self, workflow: LLMWorkflow) -> Observed:
        """The children that live in this Ray, with what their jobs reported."""
        records = self._records.all(self._session)
        verdicts = {record.name: _passed(self._report(record)) for record in records}
        jobs, services = self._jobs.seen(), self._services.seen(verdicts)
        children = {}
        for record in records:
            if record.kind == "RayJob" and record.name in jobs:
                children[record.name] = self._child(record, *jobs[record.name])
            elif record.kind == "RayService" and record.name in services:
                phase, message = services[record.name]
                children[record.name] = self._child(record, phase, "", message)
        return Observed(
            children=children,
            input_digests=self._inputs(workflow) if workflow.spec.inputs == "recheck" else {},
            code_digest=code_digest(),
        )

    def execute(self, workflow: LLMWorkflow, action: Action) -> None:
        """Carry out one action of a plan."""
        match action:
            case CreateChild(kind="RayJob"):
                self._submit(workflow, action.name, action.work)
            case CreateChild() | ApplyService():
                self._serve(workflow, action.name, action.work)
            case DeleteChild(kind="RayJob"):
                if self._has_reported(action.name) and self._jobs.is_ending(action.name):
                    return  # it is planned again at the next look
                self._jobs.remove(action.name)
                self._forget(action.name)
            case DeleteChild():
                self._services.keep_logs(action.name)
                self._forget(action.name)
                self._services.remove(action.name)  # last: it is gone for good, though Ray may not answer now

    def _forget(self, name: str) -> None:
        """The report goes with the child: the same attempt may be made again, and must not be judged by the old one."""
        self._report_path(name).unlink(missing_ok=True)
        self._records.remove(name)

    def _has_reported(self, name: str) -> bool:
        """Whether a job has said its last word, after which its process ends by itself."""
        report = parse_report(read_json(self._report_path(name)) or {})
        return report is not None and report.state != "Running"

    def keep_logs(self) -> None:
        """Copy what is still being written out of Ray's folder."""
        for record in self._records.all(self._session):
            if record.kind == "RayJob":
                self._jobs.keep_log(record.name)
            else:
                self._services.keep_logs(record.name)

    def _inputs(self, workflow: LLMWorkflow) -> dict[str, str]:
        """What the inputs hold now, looked up once for each generation of the spec: a run takes what it began with."""
        generation = workflow.metadata.generation
        if generation not in self._input_digests:
            uri = storage_uri(self._home, workflow)
            configs = [stage_config(workflow, no_work(stage), uri) for stage in workflow.spec.stages]
            found = [inputs.digests(job_config.parse(config)) for config in configs]
            self._input_digests = {
                generation: {uri: digest for part in found for uri, digest in part.items()}
            }
        return self._input_digests[generation]

    def _submit(self, workflow: LLMWorkflow, name: str, work: Work) -> None:
        config = self._write_config(workflow, name, work)
        record = record_of("RayJob", name, workflow.metadata.uid, self._session, work, config)
        self._records.save(record)
        self._report_path(name).unlink(missing_ok=True)  # of a child that ended with its Ray
        stage = stage_named(workflow, work.stage)
        variables = plain_variables(workflow, stage) | _beside(workflow) | self._job_env(name)
        self._jobs.submit(name, ENTRYPOINTS[work.kind], variables, chosen_ray(workflow, stage).pip)

    def _serve(self, workflow: LLMWorkflow, name: str, work: Work) -> None:
        config = self._write_config(workflow, name, work)
        declared = serve_config(workflow, work, str(self._config_path(name)), HOST, self._port.number)
        stage = stage_named(workflow, work.stage)
        for application in declared["applications"]:
            environment = application.setdefault("runtime_env", {})
            own = environment.get("env_vars", {})
            environment["env_vars"] = plain_variables(workflow, stage) | own | self._job_env(name)
        before = {record.name: record for record in self._records.all(self._session)}.get(name)
        record = record_of("RayService", name, workflow.metadata.uid, self._session, work, config)
        self._records.save(record if before is None else replace(record, uid=before.uid))
        assert stage.serve is not None, "the plan makes services of serving stages alone"
        self._services.apply(name, declared, surge=stage.serve.upgrade == "surge")

    def _write_config(self, workflow: LLMWorkflow, name: str, work: Work) -> dict[str, Any]:
        config = stage_config(workflow, work, storage_uri(self._home, workflow))
        if not has_gpu():
            config["accelerator"] = None  # the same file runs here on the CPU
        if through := config.get("batch", {}).get("through"):
            through["url"] = self._services.url
        write_json(self._config_path(name), config)
        return config

    def _job_env(self, name: str) -> dict[str, str]:
        return {
            "LLMWORKFLOW_CONFIG": str(self._config_path(name)),
            "LLMWORKFLOW_REPORT": self._report_path(name).as_uri(),
        }

    def _config_path(self, name: str) -> Path:
        return self._home.configs / f"{name}.json"

    def _report_path(self, name: str) -> Path:
        return self._home.reports / f"{name}.json"

    def _child(self, record: ChildRecord, phase: ChildPhase, reason: str, message: str) -> ChildSeen:
        return ChildSeen(
            kind=record.kind,
            name=record.name,
            uid=record.uid,
            owner_uid=record.owner_uid,
            phase=phase,
            stage=record.stage,
            revision=record.revision,
            attempt=record.attempt,
            settings=record.settings,
            spec_hash=record.spec_hash,
            reason=reason,
            message=message,
            url=self._services.url if record.kind == "RayService" else None,
            report=self._report(record),
        )

    def _report(self, record: ChildRecord) -> JobReport | None:
        content = read_json(self._report_path(record.name))
        report = parse_report(content) if content else None
        if report and report.is_of(record.owner_uid, record.stage, record.revision, record.attempt):
            return report
        return None


def _beside(workflow: LLMWorkflow) -> dict[str, str]:
    """Where a job finds modules of the user's own."""
    folder = workflow.metadata.annotations.get(ANNOTATION_FOLDER)
    return {own_metric.MODULES_ENV: folder} if folder else {}


def _passed(report: JobReport | None) -> bool | None:
    """The verdict of the replay through an endpoint, None as long as there is none."""
    return report.verification.passed if report and report.verification else None
