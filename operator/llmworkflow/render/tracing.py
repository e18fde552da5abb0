"""Traces of an endpoint: variables by which Ray Serve makes them and OpenTelemetry sends them off."""

from urllib.parse import urlsplit

from llmworkflow.api.spec.serve import Tracing
from llmworkflow.api.spec.workflow import LLMWorkflow

PROCESSORS = "llmworkflow_jobs.tracing:processors"
_GRPC_PORT = 4317  # OTLP's own; what else there is speaks HTTP
_PATH = "/v1/traces"  # of OTLP over HTTP


def variables(workflow: LLMWorkflow, stage: str, tracing: Tracing) -> dict[str, str]:
    """The environment of the endpoint's replicas."""
    address = urlsplit(tracing.endpoint)
    grpc = address.port == _GRPC_PORT
    path = "" if grpc else address.path.rstrip("/") or _PATH
    metadata = workflow.metadata
    return {
        "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": PROCESSORS,
        "RAY_SERVE_TRACING_SAMPLING_RATIO": str(tracing.sample_ratio),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{address.scheme}://{address.netloc}{path}",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc" if grpc else "http/protobuf",
        "OTEL_SERVICE_NAME": f"{metadata.name}-{stage}",
        "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={metadata.namespace}",
    }
