"""The dashboard of a Ray cluster, as far as it has logs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from llmworkflow.client.errors import ClientError

TAIL_LINES = 1000  # of each replica
_JOBS = "/api/jobs/"
_STATE = "/api/v0"
_REPLICAS = "serve/replica_*.log"
_TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Replica:
    """Where the log of one replica of an application lies."""

    node: str
    file: str


@dataclass(frozen=True)
class Dashboard:
    """A dashboard that this machine reaches. Raises ClientError where it does not answer."""

    url: str
    headers: Mapping[str, str]

    def newest_job(self) -> str | None:
        """The job that was submitted last."""
        jobs = [job for job in self._json(_JOBS) if job.get("submission_id")]
        newest = max(jobs, key=lambda job: job.get("start_time") or 0, default=None)
        return str(newest["submission_id"]) if newest else None

    def log(self, job: str) -> str:
        """All that a job has printed."""
        return str(self._json(f"{_JOBS}{job}/logs")["logs"])

    def follow(self, job: str) -> Iterator[str]:
        """What a job has printed and prints, until it ends."""
        from websocket import WebSocketConnectionClosedException, WebSocketException, create_connection

        headers = [f"{name}: {value}" for name, value in self.headers.items()]
        address = self.url.replace("http://", "ws://", 1)
        try:
            log: Any = create_connection(f"{address}{_JOBS}{job}/logs/tail", header=headers)
            try:
                while piece := log.recv():
                    yield piece if isinstance(piece, str) else piece.decode(errors="replace")
            finally:
                log.shutdown()  # its `close` does nothing once the dashboard has closed it
        except WebSocketConnectionClosedException:
            return  # the head has ended, and with it the job
        except (OSError, WebSocketException) as error:
            raise ClientError(f"the log of job {job} cannot be followed: {error}") from error

    def replicas(self) -> list[Replica]:
        """The replicas of the applications, on all nodes."""
        nodes = self._json(f"{_STATE}/nodes")["data"]["result"]["result"]
        found = []
        for node in sorted(entry["node_id"] for entry in nodes if entry["state"] == "ALIVE"):
            query = urlencode({"node_id": node, "glob": _REPLICAS})
            groups = self._json(f"{_STATE}/logs?{query}")["data"]["result"]
            found += [Replica(node, file) for files in groups.values() for file in sorted(files)]
        return found

    def replica_log(self, replica: Replica, follow: bool) -> Iterator[str]:
        """The last lines of a replica's log, and with `follow` those that come."""
        query = {"node_id": replica.node, "filename": replica.file, "lines": TAIL_LINES}
        kind = "stream" if follow else "file"
        with self._opened(f"{_STATE}/logs/{kind}?{urlencode(query)}", follow) as response:
            for line in response:
                yield line.decode(errors="replace")

    def _json(self, path: str) -> Any:
        with self._opened(path) as response:
            return json.loads(response.read())

    @contextmanager
    def _opened(self, path: str, endless: bool = False) -> Iterator[Any]:
        from urllib3 import PoolManager, Timeout
        from urllib3.exceptions import HTTPError

        limit = Timeout(connect=_TIMEOUT_SECONDS, read=None if endless else _TIMEOUT_SECONDS)
        try:
            with (
                PoolManager(timeout=limit, retries=False) as http,
                closing(
                    http.request("GET", f"{self.url}{path}", headers=self.headers, preload_content=False)
                ) as response,
            ):
                if response.status != 200:
                    told = response.read().decode(errors="replace")[:300]
                    raise ClientError(f"the dashboard of the Ray cluster answers {response.status} {told}")
                yield response
        except HTTPError as error:
            raise ClientError(f"the dashboard of the Ray cluster does not answer: {error}") from error
