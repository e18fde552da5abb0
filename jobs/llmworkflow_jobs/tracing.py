"""Where traces of requests go: `llmworkflow_jobs.tracing:processors`, which Ray Serve asks in every traced replica.

The addresses are those of OpenTelemetry's own variables, which the application brings along:

    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT    where the receiver is, with its path where it speaks HTTP
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL    grpc, or http/protobuf
"""

from __future__ import annotations

import os

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

GRPC = "grpc"


def processors() -> list[SpanProcessor]:
    """Export spans in batches, so that no request waits for the receiver. One that is away loses them, no more."""
    return [BatchSpanProcessor(_exporter())]


def _exporter() -> SpanExporter:
    if os.environ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
