"""The CRD is structural, holds what is right, refuses what is not, and shows what people look for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llmworkflow.api.crd import custom_resource_definition, manifest, resource_schema
from llmworkflow.api.fields import models_below
from llmworkflow.api.schema import known_fields
from llmworkflow.api.spec.workflow import WorkflowSpec
from llmworkflow.api.status import LLMWorkflowStatus
from llmworkflow.api.yaml_reader import read_documents

from .examples import EXAMPLES, content, edited
from .schemas import as_json_schema, walk, with_defaults

SCHEMA = resource_schema()
SPEC = SCHEMA["properties"]["spec"]
NODES = dict(walk(SCHEMA))
FREE = "x-kubernetes-preserve-unknown-fields"
NOT_STRUCTURAL = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "nullable", "title", "examples"}
CLIENT_SIDE_APPLY_LIMIT = 262_144  # bytes of the annotation in which kubectl keeps what was applied


def is_accepted(document: dict[str, Any]) -> bool:
    """Whether the schema takes the spec; rules in CEL aside."""
    checker = jsonschema.Draft202012Validator(as_json_schema(SPEC))
    return bool(checker.is_valid(with_defaults(SPEC, document["spec"])))


def test_schema_is_structural() -> None:
    assert [path for path, node in NODES.items() if not is_structural(node)] == []


def is_structural(node: dict[str, Any]) -> bool:
    """The rules of structural schemas that a generator from JSON Schema may break."""
    has_one_type = ("type" in node) + bool(node.get("x-kubernetes-int-or-string")) == 1 or bool(
        node.get(FREE)
    )
    is_open_or_closed = not {"properties", "additionalProperties"} <= set(node)
    has_items = node.get("type") != "array" or "items" in node
    return NOT_STRUCTURAL.isdisjoint(node) and has_one_type and is_open_or_closed and has_items


def test_every_field_is_described() -> None:
    known_to_the_server = {"", ".apiVersion", ".kind", ".metadata"}
    fields = {
        path: node
        for path, node in NODES.items()
        if not path.endswith("[]") and path not in known_to_the_server
    }
    assert [path for path, node in fields.items() if not node.get("description")] == []


LISTS_BY_KEY = {
    ".spec.stages": "name",
    ".spec.ray.env": "name",
    ".spec.ray.workerGroups": "name",
    ".spec.ray.imagePullSecrets": "name",
    ".spec.stages[].ray.env": "name",
    ".spec.stages[].batch.adapters": "name",
    ".spec.stages[].serve.models": "modelId",
    ".spec.stages[].serve.models[].adapters": "name",
    ".spec.stages[].serve.applications": "name",
    ".spec.stages[].serve.applications[].env": "name",
    ".status.stages": "name",
    ".status.conditions": "type",
}


@pytest.mark.parametrize(("path", "key"), LISTS_BY_KEY.items())
def test_list_is_a_map(path: str, key: str) -> None:
    node = NODES[path]
    assert (node["x-kubernetes-list-type"], node["x-kubernetes-list-map-keys"]) == ("map", [key])
    assert key in node["items"]["required"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_accepted(path: Path) -> None:
    assert is_accepted(content(path))


STAGES = ("spec", "stages")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((*STAGES, 0, "fineTune", "training", "learningrate"), 1e-4),
        ((*STAGES, 1, "gates", 0, "metrics"), "exactMatch"),
        (("spec", "sage"), []),
        ((*STAGES, 0, "fineTune", "lora", "rank"), 0),
        ((*STAGES, 0, "fineTune", "lora", "alpha"), 0),
        ((*STAGES, 0, "fineTune", "training", "precision"), "bf8"),
        ((*STAGES, 0, "name"), "Tune"),
        ((*STAGES, 0, "name"), ...),
        (("spec", "stages"), []),
        (("spec", "ray", "worker", "cpu"), 0.5),
        (("spec", "ray", "worker", "memory"), "32GB"),
        (("spec", "suspend"), "no"),
    ],
)
def test_what_is_wrong_is_refused(at: tuple[str | int, ...], value: Any) -> None:
    assert not is_accepted(edited(EXAMPLES[0], at, value))


@pytest.mark.parametrize("at", [("spec", "suspend"), (*STAGES, 1, "batch", "sampling", "maxTokens")])
def test_null_takes_the_default(at: tuple[str | int, ...]) -> None:
    assert is_accepted(edited(EXAMPLES[0], at, None))


def test_defaults_are_those_of_the_models() -> None:
    """What the API server fills in is what the models would: the operator reads the same workflow from both."""
    for path in EXAMPLES:
        spec = content(path)["spec"]
        assert WorkflowSpec.model_validate(with_defaults(SPEC, spec)) == WorkflowSpec.model_validate(spec)


def test_what_is_laid_over_something_has_no_defaults() -> None:
    layered = {model.__name__ for model in models_below(WorkflowSpec) if getattr(model, "layered", False)}
    assert {"RaySettings", "Resources", "Accelerator"} <= layered
    below_ray = [
        node for path, node in NODES.items() if path.startswith((".spec.ray.", ".spec.stages[].ray."))
    ]
    assert below_ray
    assert not [node for node in below_ray if "default" in node]


def test_resource() -> None:
    definition = custom_resource_definition()
    assert definition["metadata"]["name"] == "llmworkflows.llmworkflow.io"
    assert definition["spec"]["names"] == {
        "kind": "LLMWorkflow",
        "listKind": "LLMWorkflowList",
        "plural": "llmworkflows",
        "singular": "llmworkflow",
        "shortNames": ["llmwf"],
        "categories": ["ml"],
    }
    (version,) = definition["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)


def test_printer_columns() -> None:
    columns = custom_resource_definition()["spec"]["versions"][0]["additionalPrinterColumns"]
    usual = [column["name"].upper() for column in columns if not column.get("priority")]
    wide = [column["name"].upper() for column in columns if column.get("priority")]
    assert usual == ["STAGE", "STATUS", "READY", "SCORE", "URL", "AGE"]
    assert wide == ["REASON", "ATTEMPT"]
    for column in columns:
        first = column["jsonPath"].split(".")[1:3]
        assert first[0] == "metadata" or first[1].partition("[")[0] in known_status_fields()


def known_status_fields() -> set[str]:
    return {field.alias or name for name, field in LLMWorkflowStatus.model_fields.items()}


def test_manifest_is_what_it_was_made_from() -> None:
    text = manifest()
    assert read_documents(text)[0].value == custom_resource_definition()
    assert "&id" not in text


def test_kubectl_can_apply_it() -> None:
    assert len(json.dumps(custom_resource_definition())) < CLIENT_SIDE_APPLY_LIMIT


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ((), "spec"),
        (("spec", "stages", 3), "fineTune"),
        (("spec", "stages", 0, "gates", 1), "betterThan"),
        (("spec", "ray", "workerGroups", 0, "accelerator"), "nodeSelector"),
    ],
)
def test_known_fields(path: tuple[str | int, ...], field: str) -> None:
    assert field in known_fields(path)


@pytest.mark.parametrize(
    "path", [("spec", "stages", 0, "batch", "engineKwargs"), ("spec", "absent"), ("spec", 0)]
)
def test_no_known_fields(path: tuple[str | int, ...]) -> None:
    assert known_fields(path) == []
