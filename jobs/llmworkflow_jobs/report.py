"""What a job tells the operator: progress, metrics, the artifact or the error, as one small JSON document."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from llmworkflow_jobs.config import JobConfig, load
from llmworkflow_jobs.config_map_sink import ConfigMapSink
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.storage_errors import explain

SCHEMA_VERSION = 1
REPORT_ENV = "LLMWORKFLOW_REPORT"

# Limits of the resource's status, which takes over what is reported here.
MAX_BYTES = 64 * 1024
MAX_MESSAGE = 1024
MAX_METRICS = 32

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Where reports go; a write replaces the report before it as a whole."""

    def write(self, text: str) -> None: ...


class FileSink:
    """A local file, replaced atomically so that a reader never sees half a report."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, text: str) -> None:
        folder = os.path.dirname(self.path)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".report-")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp makes it private, while the reader may be another user
        os.replace(temporary, self.path)


def open_sink(uri: str | None) -> Sink:
    """Sink for the address in LLMWORKFLOW_REPORT, chosen by its scheme."""
    parts = urlsplit(uri or "")
    if parts.scheme == "file" and parts.path:
        return FileSink(unquote(parts.path))
    if parts.scheme == "configmap" and parts.netloc and parts.path.strip("/"):
        return ConfigMapSink(uri or "")
    expected = "file:///path/report.json or configmap://namespace/name"
    raise JobError("OptionInvalid", f"{REPORT_ENV} is {uri!r}, expected {expected}")


class Report:
    """The report of one attempt. Every method but `resolved` writes it out; methods may be called from any thread."""

    def __init__(self, config: JobConfig, sink: Sink | None = None) -> None:
        self._sink = sink or open_sink(os.environ.get(REPORT_ENV))
        self._lock = threading.Lock()
        self._began: tuple[float, float, float] | None = None  # total, done and time of the first progress
        self._document: dict[str, Any] = {
            "schemaVersion": SCHEMA_VERSION,
            "workflow": config.workflow["uid"],
            "stage": config.stage["name"],
            "revision": config.stage["revision"],
            "attempt": config.stage["attempt"],
            "state": "Running",
            "progress": None,
            "metrics": {},
            "artifact": None,
            "resolved": {},
            "verification": None,
            "error": None,
        }

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, so that a report can be passed to another process."""
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def document(self) -> dict[str, Any]:
        """What was written last."""
        return dict(self._document)

    @property
    def digests(self) -> dict[str, str]:
        """What `resolved` recorded."""
        return dict(self._document["resolved"])

    def progress(self, done: float, total: float, message: str) -> None:
        """Say that `done` of `total` units are done. The rest is estimated at the rate since the first such report.

        So what an earlier attempt did does not count; a new total begins anew.
        """
        now = time.monotonic()
        if self._began is None or self._began[0] != total:
            self._began = (total, done, now)
        _, first, start = self._began
        eta = round((now - start) / (done - first) * (total - done)) if done > first else None
        percent = round(100.0 * done / total, 1) if total else 0.0
        logger.info("%s", message)
        self._write(progress={"percent": percent, "etaSeconds": eta, "message": _short(message)})

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Add metrics by name: numbers, or mappings such as {value, low, high, n, errors, truncated, missing}."""
        with self._lock:
            merged = self._document["metrics"] | {name: _metric(value) for name, value in values.items()}
        if len(merged) > MAX_METRICS:
            raise JobError(
                "OptionInvalid", f"{len(merged)} metrics, a stage may have {MAX_METRICS}; ask for fewer"
            )
        self._write(metrics=merged)

    def resolved(self, uri: str, digest: str) -> None:
        """Record what `uri` stood for in this run, so that later runs are pinned to it."""
        with self._lock:
            self._document["resolved"] = self._document["resolved"] | {uri: digest}

    def verification(self, verdict: Mapping[str, Any]) -> None:
        """Record the verdict of a replay through an endpoint."""
        self._write(verification={**verdict, "message": _short(str(verdict.get("message", "")))})

    def succeed(self, artifact: Mapping[str, Any] | None) -> None:
        """End with success; `artifact` is {uri, digest, type}, or None where nothing is left behind."""
        done = {"percent": 100.0, "etaSeconds": 0, "message": "done"}
        self._write(state="Succeeded", artifact=None if artifact is None else dict(artifact), progress=done)

    def repeat(self, artifact: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
        """End with the success of an earlier run of this attempt, which left a manifest but perhaps no report."""
        base = manifest["base"]
        known = {base["source"]: base["digest"]} if base else {}
        for uri, digest in (known | manifest["data"]).items():
            self.resolved(uri, digest)
        self.metrics(manifest["metrics"])
        self.succeed(artifact)

    def fail(self, error: JobError) -> None:
        """End with failure."""
        cause = {
            "reason": error.reason,
            "message": _short(error.message),
            "retryable": error.retryable,
            "artifact": error.artifact,
        }
        self._write(state="Failed", error=cause)

    def _write(self, **changes: Any) -> None:
        with self._lock:
            self._document |= changes
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            self._sink.write(encode(self._document | {"updatedAt": now}))


def encode(document: Mapping[str, Any]) -> str:
    """Render a report within MAX_BYTES; what does not fit is the list of resolved inputs, which is then left out."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    if len(text.encode()) > MAX_BYTES:
        logger.warning("the report exceeds %d bytes: the inputs' digests are in the manifest only", MAX_BYTES)
        text = json.dumps({**document, "resolved": {}}, ensure_ascii=False, allow_nan=False)
    return text


def run(main: Callable[[JobConfig, Report], None]) -> None:
    """Run a job's main function, put its outcome into the report and exit with 0 or 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = load()
        report = Report(config)
    except JobError as error:
        sys.exit(f"llmworkflow: {error}")
    try:
        main(config, report)
    except Exception as error:
        failure = to_job_error(error)
        logger.error("%s", failure, exc_info=None if failure is error else error)
        report.fail(failure)
        sys.exit(1)


def to_job_error(error: BaseException) -> JobError:
    """The JobError that `error` is or stands for. Storage and unforeseen failures may pass, so they are retryable."""
    if isinstance(error, JobError):
        return error
    if type(error).__name__ == "OutOfMemoryError":  # torch's or Ray's, neither of which is imported here
        return JobError("OutOfMemory", f"{_first_line(error)}; lower the batch size or the maximal length")
    if isinstance(error, OSError):
        return JobError("StorageError", explain(error), retryable=True)
    return JobError("InternalError", f"{type(error).__name__}: {_first_line(error)}", retryable=True)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


def _metric(value: Any) -> dict[str, Any]:
    fields = value if isinstance(value, Mapping) else {"value": value}
    return {name: _finite(number) for name, number in fields.items()}


def _finite(number: Any) -> Any:
    """JSON knows neither NaN nor infinity: such a metric is reported as null, which no gate passes."""
    return None if isinstance(number, float) and not math.isfinite(number) else number
