"""The CustomResourceDefinition, from the models."""

from llmworkflow.api.fields import JsonObject
from llmworkflow.api.schema import structural_schema
from llmworkflow.api.spec.workflow import GROUP, KIND, PLURAL, VERSION, LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.api.yaml_writer import to_yaml

SHORT_NAME = "llmwf"
CATEGORY = "ml"

_READY = '.status.conditions[?(@.type=="Ready")]'
_WIDE = 1  # priority of columns that only `kubectl get -o wide` shows

PRINTER_COLUMNS = [
    {"name": "Stage", "type": "string", "jsonPath": ".status.stage"},
    {"name": "Status", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Ready", "type": "string", "jsonPath": f"{_READY}.status"},
    {"name": "Score", "type": "string", "jsonPath": ".status.score"},
    {"name": "URL", "type": "string", "jsonPath": ".status.url"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Reason", "type": "string", "jsonPath": f"{_READY}.reason", "priority": _WIDE},
    {"name": "Attempt", "type": "integer", "jsonPath": ".status.attempt", "priority": _WIDE},
]


def custom_resource_definition() -> JsonObject:
    """The CustomResourceDefinition (apiextensions.k8s.io/v1)."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": resource_schema()},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": PRINTER_COLUMNS,
                }
            ],
        },
    }


def resource_schema() -> JsonObject:
    """The structural schema of the resource; the API server itself knows what metadata is."""
    schema = structural_schema(LLMWorkflow)
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": schema["properties"]["spec"],
        "status": structural_schema(LLMWorkflowStatus),
    }
    return schema | {"properties": properties, "required": ["spec"]}


def manifest() -> str:
    """The CustomResourceDefinition as YAML."""
    return to_yaml(custom_resource_definition())
