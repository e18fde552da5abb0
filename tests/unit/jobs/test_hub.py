"""Rows of a data set of the Hugging Face hub, from a server that speaks as the hub does."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from llmworkflow_jobs import data
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import Report

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# Games\n",
    "data/train-0.jsonl": b'{"instruction": "a"}\n',
    "data/train-1.jsonl": b'{"instruction": "b"}\n',
    "test.csv": b"instruction,output\nWhat is it?,A game.\n",
}
API, RESOLVE = "/api/datasets/team/games", f"/datasets/team/games/resolve/{COMMIT}/"


class FakeHub(BaseHTTPRequestHandler):
    """Has one data set, with the revisions main, v1 and refs/convert/parquet."""

    busy = 0  # what it answers instead of files

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in {f"{API}/revision/{name}" for name in ("main", "v1", "refs%2Fconvert%2Fparquet")}:
            self._send(json.dumps({"id": "team/games", "sha": COMMIT}).encode())
        elif path == f"{API}/tree/{COMMIT}":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
                for name, content in FILES.items()
            ]
            self._send(json.dumps(entries).encode())
        elif path.startswith(RESOLVE) and self.busy:
            self._send(b"{}", status=self.busy)
        elif path.startswith(RESOLVE) and path.removeprefix(RESOLVE) in FILES:
            content = FILES[path.removeprefix(RESOLVE)]
            self._send(content, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(b"{}", {"X-Error-Code": "RepoNotFound"}, status=404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, content: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """The output of a test is not the place."""


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fine_tune: Callable[..., JobConfig], report: Report
) -> Iterator[Callable[[str], list[Any]]]:
    """A function that returns the rows of an address."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{http.server_port}")
        yield lambda uri: data.read_rows([{"uri": uri}], fine_tune(), report)
        http.shutdown()
        thread.join()


@pytest.mark.capability("sources")
@pytest.mark.parametrize(
    ("uri", "instructions"),
    [
        ("hf://datasets/team/games/data/train-1.jsonl", ["b"]),
        ("hf://datasets/team/games@v1/data", ["a", "b"]),
        ("hf://datasets/team/games@refs%2Fconvert%2Fparquet/data/train-0.jsonl", ["a"]),
        ("hf://team/games", ["a", "b", "What is it?"]),
    ],
)
def test_rows_of_a_data_set(read: Callable[[str], list[Any]], uri: str, instructions: list[str]) -> None:
    assert [row["instruction"] for row in read(uri)] == instructions


@pytest.mark.parametrize(
    ("uri", "reason", "message"),
    [
        ("hf://datasets/team/films/a.csv", "FileNotFound", "check name and revision"),
        ("hf://datasets/team/games/a.csv", "FileNotFound", "does not exist"),
        ("hf://datasets/team/my games/a.csv", "FileNotFound", "check name and revision"),
        ("hf://games", "OptionInvalid", "expected hf://datasets/<owner>/<name>"),
    ],
)
def test_what_is_not_there(read: Callable[[str], list[Any]], uri: str, reason: str, message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        read(uri)
    assert caught.value.reason == reason


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_asked_again_by_the_next_attempt(
    read: Callable[[str], list[Any]], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(FakeHub, "busy", status)
    hurried = SimpleNamespace(sleep=lambda _: None)  # the library's own tries take 23 s
    monkeypatch.setattr("huggingface_hub.utils._http.time", hurried)
    with pytest.raises(JobError, match="hf://datasets/team/games") as caught:
        read("hf://datasets/team/games/data/train-1.jsonl")
    assert (caught.value.reason, caught.value.retryable) == ("StorageError", True)
