"""Traces of an endpoint: variables by which Ray Serve makes them and OpenTelemetry sends them off."""

from llmworkflow.api.spec.serve import Tracing
from llmworkflow.api.spec.workflow import LLMWorkflow

PROCESSORS = "llmworkflow_jobs.tracing:processors"
_GRPC_PORT = ":4317"  # OTLP's own; what else there is speaks HTTP
_PATH = "v1/traces"  # of OTLP over HTTP


def variables(workflow: LLMWorkflow, stage: str, tracing: Tracing) -> dict[str, str]:
    """The environment of the endpoint's replicas."""
    scheme, _, rest = tracing.endpoint.partition("://")
    host, _, path = rest.rstrip("/").partition("/")
    grpc = host.endswith(_GRPC_PORT)
    sent_to = host if grpc else f"{host}/{path or _PATH}"
    metadata = workflow.metadata
    return {
        "RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH": PROCESSORS,
        "RAY_SERVE_TRACING_SAMPLING_RATIO": str(tracing.sample_ratio),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{scheme}://{sent_to}",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc" if grpc else "http/protobuf",
        "OTEL_SERVICE_NAME": f"{metadata.name}-{stage}",
        "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={metadata.namespace}",
    }
