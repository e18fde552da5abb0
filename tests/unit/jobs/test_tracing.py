"""Spans go to the receiver that the application's variables name, in its protocol."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tests.integration.traces import receiving
from tests.unit.core.builders import workflow

from llmworkflow.api.spec.serve import Tracing
from llmworkflow.render.tracing import PROCESSORS, variables
from llmworkflow_jobs import tracing


@pytest.mark.parametrize(
    ("endpoint", "module"),
    [("http://127.0.0.1:4317", "grpc"), ("http://127.0.0.1:4318", "http")],
)
def test_spans_are_exported_in_batches(monkeypatch: pytest.MonkeyPatch, endpoint: str, module: str) -> None:
    for name, value in variables(workflow(), "chat", Tracing(endpoint=endpoint)).items():
        monkeypatch.setenv(name, value)
    (processor,) = tracing.processors()
    assert isinstance(processor, BatchSpanProcessor)
    exporter = processor.span_exporter
    assert type(exporter).__module__ == f"opentelemetry.exporter.otlp.proto.{module}.trace_exporter"
    assert exporter._endpoint == {"grpc": "127.0.0.1:4317", "http": "http://127.0.0.1:4318/v1/traces"}[module]
    processor.shutdown()


@pytest.mark.capability("traces")
def test_a_receiver_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        for name, value in receiver.variables.items():
            monkeypatch.setenv(name, value)
        provider = TracerProvider()
        for processor in tracing.processors():
            provider.add_span_processor(processor)
        with provider.get_tracer("test").start_as_current_span(
            "asked", attributes={"http.route": "/v1/models"}
        ):
            pass
        provider.shutdown()
        span = receiver.until(lambda span: span.name == "asked")
    assert (span.service, span.route) == ("viggo-chat", "/v1/models")


def test_ray_serve_is_told_of_the_function() -> None:
    assert f"{tracing.__name__}:{tracing.processors.__name__}" == PROCESSORS
