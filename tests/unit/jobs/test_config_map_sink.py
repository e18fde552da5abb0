"""Reports to a ConfigMap: progress when it can be, outcomes in any case, with the pod's own token."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from llmworkflow_jobs import config_map_sink, own_log
from llmworkflow_jobs.config_map_sink import ConfigMapSink
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.report import open_sink

RUNNING, DONE = json.dumps({"state": "Running"}), json.dumps({"state": "Succeeded"})
URI = "configmap://team/viggo-tune-report"


class Clock:
    """Time passes by sleeping alone."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Scripted(ConfigMapSink):
    """A sink whose API server answers as told; the last answer holds."""

    def __init__(self, *answers: int | OSError) -> None:
        super().__init__(URI)
        self.answers = list(answers)
        self.bodies: list[Any] = []

    def _patch(self, body: str) -> tuple[int, str]:
        self.bodies.append(json.loads(body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer, "told so"


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_log, "tail", lambda: "the end\n")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.now = 1000.0
    monkeypatch.setattr(config_map_sink, "time", clock)
    return clock


def test_report_is_one_entry_of_the_config_map_beside_the_end_of_the_log(clock: Clock) -> None:
    sink = Scripted(200)
    sink.write(RUNNING)
    sink.write(DONE)
    assert sink.bodies == [
        {"data": {"report.json": RUNNING}},
        {"data": {"report.json": DONE, "log.txt": "the end\n"}},
    ]


def test_progress_is_written_now_and_then(clock: Clock) -> None:
    sink = Scripted(200)
    for _ in range(25):
        sink.write(RUNNING)
        clock.now += 1
    assert len(sink.bodies) == 3


@pytest.mark.parametrize("answer", [503, 403, OSError("no route")])
def test_progress_that_cannot_be_written_is_no_reason_to_fail(clock: Clock, answer: int | OSError) -> None:
    sink = Scripted(answer)
    sink.write(RUNNING)
    assert clock.now == 1000.0


def test_outcome_waits_until_the_api_server_is_back(clock: Clock) -> None:
    sink = Scripted(OSError("refused"), 503, 429, 200)
    sink.write(DONE)
    assert len(sink.bodies) == 4


def test_outcome_that_is_refused_fails_at_once(clock: Clock) -> None:
    with pytest.raises(JobError, match=r"configmap://team/viggo-tune-report: HTTP 422 told so") as caught:
        Scripted(422).write(DONE)
    assert caught.value.retryable
    assert clock.now == 1000.0


def test_outcome_waits_for_rights_that_a_new_api_server_does_not_know_yet(clock: Clock) -> None:
    sink = Scripted(*[OSError("refused")] * 8, 401, 403, 404, 200)
    sink.write(DONE)
    assert len(sink.bodies) == 12


def test_outcome_that_is_forbidden_is_given_up_after_two_minutes(clock: Clock) -> None:
    with pytest.raises(JobError, match="HTTP 403"):
        Scripted(403).write(DONE)
    assert 1080 < clock.now <= 1120


def test_outcome_is_given_up_after_ten_minutes(clock: Clock) -> None:
    with pytest.raises(JobError, match="HTTP 503"):
        Scripted(503).write(DONE)
    assert 1500 < clock.now <= 1600


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """What a pod mounts for its service account; the certificate is that of the server itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    lifetime = (now, now + timedelta(hours=1))
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), *lifetime)
    certificate = builder.add_extension(addresses, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (tmp_path / "ca.crt").write_bytes(certificate.public_bytes(pem))
    (tmp_path / "key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "token").write_text("of the pod")
    return tmp_path


@pytest.fixture
def requests(account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """An API server that answers 200, and what it was asked."""
    found: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.append((self.path, self.headers["authorization"], self.headers["content-type"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(account / "ca.crt", account / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(config_map_sink, "_ACCOUNT", str(account))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
    yield found
    server.shutdown()
    server.server_close()


def test_pod_patches_with_its_token_and_trusts_its_authority(requests: list[Any]) -> None:
    open_sink(URI).write(DONE)
    assert requests == [
        (
            "/api/v1/namespaces/team/configmaps/viggo-tune-report",
            "Bearer of the pod",
            "application/merge-patch+json",
            {"data": {"report.json": DONE, "log.txt": "the end\n"}},
        )
    ]
