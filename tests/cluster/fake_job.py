"""A job of a stage that only pretends: it reads its configuration and writes its report as the real one does."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.config_map_sink import _PATIENCE_SECONDS, _REFUSALS, _REFUSED_SECONDS
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import REPORT_ENV, Report

from .api import Api, through_outages
from .pod_files import PodFiles
from .scripts import JobScript

REPORT_KEY, LOG_KEY = "report.json", "log.txt"  # of the ConfigMap

ARTIFACTS = {"fineTune": "adapter", "batch": "rows"}
SCORE = {"value": 0.81, "low": 0.78, "high": 0.84, "n": 1000, "errors": 0, "truncated": 0, "missing": 0}

Pod = dict[str, Any]


class HeadSink:
    """Writes reports from a head pod, with the rights of its service account and no others."""

    def __init__(self, api: Api, head: Pod, uri: str, log: Callable[[], str]) -> None:
        self._namespace, self._name = urlsplit(uri).netloc, urlsplit(uri).path.strip("/")
        spec = head["spec"]
        if not spec.get("automountServiceAccountToken", True):
            raise JobError(
                "StorageError", f"pod {head['metadata']['name']} mounts no token to write {uri} with"
            )
        self._log = log
        self._api = api.as_bearer(api.token_of(spec["serviceAccountName"], head["metadata"]["namespace"]))

    def write(self, text: str) -> None:
        """Write it, with the patience of the real sink."""
        kept = {} if json.loads(text)["state"] == "Running" else {LOG_KEY: self._log()}
        report = {"data": {REPORT_KEY: text, **kept}}

        def write() -> None:
            through_outages(
                lambda: self._api.patch("ConfigMap", self._name, self._namespace, report),
                seconds=_REFUSED_SECONDS,
                forgiven=_REFUSALS,
            )

        through_outages(write, seconds=_PATIENCE_SECONDS)


class FakeJob:
    """One run of an entrypoint on the head of a Ray cluster."""

    def __init__(self, api: Api, head: Pod, entrypoint: str, script: JobScript) -> None:
        self._api, self._head, self._entrypoint, self._script = api, head, entrypoint, script
        self._files = PodFiles(api, head)
        self._over = threading.Event()
        self._stopped = False
        self.status, self.message = "PENDING", ""
        self.log = ""
        self._began, self._ended = time.time(), 0.0

    @property
    def forgotten(self) -> bool:
        """Whether Ray knows nothing of it any more."""
        return self._script.forgotten and self._ended > 0

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._ended > 0

    def details(self, identity: str) -> dict[str, Any]:
        """What Ray's dashboard says of it."""
        return {
            "submission_id": identity,
            "job_id": identity,
            "entrypoint": self._entrypoint,
            "status": self.status,
            "message": self.message,
            "start_time": int(self._began * 1000),
            "end_time": int(self._ended * 1000),
        }

    def stop(self) -> None:
        """End it at once."""
        self._stopped = True
        self._over.set()

    def finish(self) -> None:
        """Let it come to its end now."""
        self._over.set()

    def run(self) -> None:
        """Do as the script says; what the pod lacks fails it, as it would fail the real one."""
        self.status, self.log = "RUNNING", f"{self._entrypoint} began\n"
        try:
            self._act()
        except Exception as error:
            self.message, self.status = f"{type(error).__name__}: {error}", "FAILED"
        self.log += f"{self.status} {self.message}".rstrip() + "\n"
        self._ended = time.time()

    def _act(self) -> None:
        config, report = through_outages(self._mounted)
        if report:
            report.progress(0, 10, "began")
        self._over.wait(self._script.seconds)
        if self._stopped:
            self.status = "STOPPED"
            return
        if self._script.forgotten:
            return
        if report and config:
            self._conclude(report, config)
        self.message, self.status = self._script.message, self._script.status

    def _mounted(self) -> tuple[JobConfig | None, Report | None]:
        """What a pod has without asking anybody: its configuration, and the token to report with."""
        config = self._configuration()
        return config, self._report(config) if config and self._script.reports else None

    def _configuration(self) -> JobConfig | None:
        """What the pod's configuration file says; None for an entrypoint that is not one of the project's."""
        module = self._entrypoint.removeprefix("python -m ")
        if not module.startswith("llmworkflow_jobs."):
            return None
        with zipfile.ZipFile(io.BytesIO(self._files.read(self._files.variables["PYTHONPATH"]))) as code:
            code.getinfo(f"{module.replace('.', '/')}.py")
        return self._files.configuration()

    def _report(self, config: JobConfig) -> Report:
        return Report(
            config, HeadSink(self._api, self._head, self._files.variables[REPORT_ENV], lambda: self.log)
        )

    def _conclude(self, report: Report, config: JobConfig) -> None:
        script = self._script
        if script.failure:
            failure = script.failure
            report.fail(JobError(failure.reason, failure.message, retryable=failure.retryable))
        elif script.status == "SUCCEEDED":
            report.resolved(config.model["source"], _digest(config.model["source"]))
            report.metrics(script.metrics or _metrics(config))
            report.succeed(None if config.stage["kind"] == "prefetch" else artifact(config))


def artifact(config: JobConfig) -> dict[str, str]:
    """What a job says that it left behind."""
    kind = config.stage["kind"]
    return {"uri": config.output_uri, "digest": _digest(config.output_uri), "type": ARTIFACTS[kind]}


def _metrics(config: JobConfig) -> Mapping[str, Any]:
    if config.stage["kind"] == "fineTune":
        of_pairs = {"rewardAccuracy": SCORE["value"]} if config.section["objective"] == "dpo" else {}
        return {"trainLoss": 0.42, "evalLoss": 0.51, **of_pairs}
    asked = (config.section.get("evaluate") or {}).get("metrics", [])
    comparisons = {name: _better(told) for name, told in config.incumbents.items()}
    return {metric: SCORE | {"comparisons": comparisons} for metric in asked if isinstance(metric, str)}


def _better(incumbent: Mapping[str, Any]) -> dict[str, Any]:
    """What it is better by than whatever it is compared with."""
    told = {"incumbentRevision": incumbent["revision"], "confidence": incumbent["confidence"]}
    return told | {"difference": 0.4, "low": 0.37, "high": 0.43, "n": SCORE["n"], "comparable": True}


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
