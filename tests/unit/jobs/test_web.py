"""Data from an HTTP server, and what is told of one that has none."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmworkflow_jobs import data, inputs, web
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import Report

CONTENT = b"instruction,output\nWhat is it?,A game.\n"


class Handler(BaseHTTPRequestHandler):
    """Has one file, which it gives at the second request, and other addresses that fail."""

    busy = True

    def do_GET(self) -> None:
        status = {"/rows.csv": 200, "/secret.csv": 403, "/busy.csv": 503}.get(self.path.split("?")[0], 404)
        if status == 200 and Handler.busy:
            Handler.busy, status = False, 503
        self.send_response(status)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.send_header("Retry-After", "3600")
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:
        """The output of a test is not the place."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(web, "BACKOFF_SECONDS", 0)
    monkeypatch.setattr(Handler, "busy", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.mark.capability("sources")
def test_rows_come_from_a_server_that_was_busy_at_first(
    fine_tune: Callable[..., JobConfig], report: Report, server: str
) -> None:
    source = {"uri": f"http://{server}/rows.csv?version=2", "format": None, "dataset": None}
    config = fine_tune(data={"train": [source]})
    assert data.read_rows([source], config, report) == [{"instruction": "What is it?", "output": "A game."}]
    assert report.digests == {source["uri"]: f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"}
    assert inputs.digests(config).items() >= report.digests.items()


@pytest.mark.parametrize(
    ("name", "reason", "retryable", "message"),
    [
        ("none.csv", "FileNotFound", False, "the server answers 404"),
        ("secret.csv", "StorageError", False, "answers 403 .*needs no password"),
        ("busy.csv", "StorageError", True, "answers 503"),
    ],
)
def test_answers_without_data_are_told(
    server: str, name: str, reason: str, retryable: bool, message: str
) -> None:
    with pytest.raises(JobError, match=message) as caught:
        web.fetch(f"http://someone:hidden@{server}/{name}")
    assert (caught.value.reason, caught.value.retryable) == (reason, retryable)
    assert "hidden" not in caught.value.message


def test_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "BACKOFF_SECONDS", 0)
    with pytest.raises(
        JobError, match=r"http://127\.0\.0\.1:1/a\.csv cannot be read: ConnectionError"
    ) as caught:
        web.fetch("http://someone:hidden@127.0.0.1:1/a.csv")
    assert caught.value.retryable


def test_server_that_trickles_is_left(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TOTAL_SECONDS", 0)
    monkeypatch.setattr(Handler, "busy", False)
    with pytest.raises(JobError, match="has not arrived within 0 s"):
        web.fetch(f"http://{server}/rows.csv")
