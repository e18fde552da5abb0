"""Reports to a ConfigMap, from the head of a Ray cluster: the only pod that has leave to write it."""

from __future__ import annotations

import http.client
import json
import logging
import os
import ssl
import time
from urllib.parse import urlsplit

from llmworkflow_jobs import own_log
from llmworkflow_jobs.errors import JobError

KEY = "report.json"
LOG_KEY = "log.txt"  # the end of the log, with an outcome: by then the job's pods are about to go
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_TIMEOUT_SECONDS = 10
# How far a job is need not be known to the second, and is no reason to fail.
_PROGRESS_SECONDS = 10.0
# An outcome is worth waiting for: a job whose outcome is not known runs again.
_PATIENCE_SECONDS, _LONGEST_PAUSE_SECONDS = 600.0, 30.0
# The API server may be away, or busy, for a while.
_PASSING = (429, 500, 502, 503, 504)
# One that was just started knows no rights yet; and a Role or a ConfigMap that somebody deleted is made anew.
_REFUSALS, _REFUSED_SECONDS = (401, 403, 404), 120.0

logger = logging.getLogger(__name__)


class ConfigMapSink:
    """configmap://<namespace>/<name>: the report is one entry of it, replaced as a whole."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._path = f"/api/v1/namespaces/{parts.netloc}/configmaps/{parts.path.strip('/')}"
        self._uri = uri
        self._next = 0.0  # when progress may be written again

    def write(self, text: str) -> None:
        """Replace the report: progress now and then, if it can be; an outcome in any case.

        Raises:
            JobError: the outcome could not be written for ten minutes, or the API server keeps refusing it.
        """
        if json.loads(text)["state"] == "Running":
            self._mention({KEY: text})
        else:
            self._insist({KEY: text, LOG_KEY: own_log.tail()})

    def _mention(self, data: dict[str, str]) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PROGRESS_SECONDS
        if problem := self._try(data)[0]:
            logger.warning("progress was not written to %s: %s", self._uri, problem)

    def _insist(self, data: dict[str, str]) -> None:
        # When a problem that is worth so much patience was first met.
        pause, since = 1.0, dict[float, float]()
        while True:
            problem, patience = self._try(data)
            if problem is None:
                return
            if patience not in since:
                pause, since[patience] = 1.0, time.monotonic()
            if time.monotonic() + pause > since[patience] + patience:
                message = f"the report was not written to {self._uri}: {problem}"
                raise JobError("StorageError", message, retryable=True)
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)

    def _try(self, data: dict[str, str]) -> tuple[str | None, float]:
        """What was wrong, None where nothing was; and for how many seconds it may pass by itself."""
        try:
            status, answer = self._patch(json.dumps({"data": data}))
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__, _PATIENCE_SECONDS
        if status == 200:
            return None, 0.0
        patience = {
            **dict.fromkeys(_PASSING, _PATIENCE_SECONDS),
            **dict.fromkeys(_REFUSALS, _REFUSED_SECONDS),
        }
        return f"HTTP {status} {answer}", patience.get(status, 0.0)

    def _patch(self, body: str) -> tuple[int, str]:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
        context = ssl.create_default_context(cafile=f"{_ACCOUNT}/ca.crt")
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
        with open(f"{_ACCOUNT}/token") as file:  # replaced every hour or so
            token = file.read()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/merge-patch+json"}
        try:
            connection.request("PATCH", self._path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(500).decode(errors="replace")
        finally:
            connection.close()
