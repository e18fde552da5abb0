"""A receiver of OpenTelemetry's traces on loopback, which keeps what it is sent."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from llmworkflow.api.spec.serve import Tracing
from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.render.tracing import variables

SECONDS = 60  # replicas send what they have every five


@dataclass(frozen=True)
class Span:
    """What a test wants to know of a span."""

    name: str
    service: str
    trace: bytes
    id: bytes
    parent: bytes
    attributes: dict[str, str]

    @property
    def route(self) -> str:
        return self.attributes.get("http.route", "")

    @property
    def method(self) -> str:
        return self.attributes.get("http.method", "")

    @property
    def status(self) -> str:
        return self.attributes.get("http.status_code", "")


@dataclass
class Receiver:
    """Spans, in the order in which they came."""

    variables: dict[str, str]
    spans: list[Span] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.came:
            for of_resource in request.resource_spans:
                service = told(of_resource.resource.attributes)["service.name"]
                for scope in of_resource.scope_spans:
                    self.spans += [span_of(service, span) for span in scope.spans]
            self.came.notify_all()

    def until(self, fits: Callable[[Span], bool]) -> Span:
        """The first span that fits, once there is one."""
        deadline = time.monotonic() + SECONDS
        with self.came:
            while True:
                if found := next((span for span in self.spans if fits(span)), None):
                    return found
                left = deadline - time.monotonic()
                assert left > 0, (
                    f"no such span within {SECONDS} s, only {[(s.name, s.attributes) for s in self.spans]}"
                )
                self.came.wait(left)


def span_of(service: str, span: Any) -> Span:
    return Span(span.name, service, span.trace_id, span.span_id, span.parent_span_id, told(span.attributes))


def told(attributes: Any) -> dict[str, str]:
    return {item.key: item.value.string_value or str(item.value.int_value) for item in attributes}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver, and the variables with which a workflow's endpoint sends to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tracing = Tracing(endpoint=f"http://127.0.0.1:{server.server_port}")
    workflow = LLMWorkflow.model_validate(
        {
            "metadata": {"name": "viggo"},
            "spec": {
                "model": {"source": "volume:model"},
                "storage": {"volume": {"claimName": "artifacts"}},
                "stages": [{"name": "chat", "serve": {"models": [{"modelId": "viggo"}]}}],
            },
        }
    )
    receiver = Receiver(variables(workflow, "chat", tracing))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
