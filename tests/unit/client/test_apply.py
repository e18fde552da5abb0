"""What a file makes of a workflow that is there, or is not."""

from __future__ import annotations

from typing import Any

import pytest

from llmworkflow.api.load import load_workflow
from llmworkflow.client.apply import apply
from llmworkflow.client.cluster import Cluster
from llmworkflow.client.connect import Connection
from llmworkflow.client.errors import ClientError

from .scripted_api import ScriptedApi, refused

FILE = """
apiVersion: llmworkflow.io/v1alpha1
kind: LLMWorkflow
metadata: {name: viggo, labels: {team: a}}
spec:
  model: {source: "volume:tiny"}
  storage: {volume: {claimName: data}}
  stages: [{name: score, batch: {input: {uri: "volume:test.jsonl"}}}]
"""
PATH = "/apis/llmworkflow.io/v1alpha1/namespaces/team/llmworkflows"
WANTED = load_workflow(FILE)


def live(version: str = "7", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """What is there."""
    return {
        "apiVersion": "llmworkflow.io/v1alpha1",
        "kind": "LLMWorkflow",
        "metadata": {
            "name": "viggo",
            "namespace": "team",
            "uid": "u",
            "resourceVersion": version,
            "labels": {"owner": "b"},
            "annotations": annotations or {},
            "managedFields": [{}],
        },
        "spec": {"model": {"source": "volume:old"}, **spec},
        "status": {"phase": "Running"},
    }


def cluster_of(api: ScriptedApi, namespace: str | None = None) -> Cluster:
    return Cluster(Connection(api, "kind", "team"), namespace)  # type: ignore[arg-type]


def test_what_is_not_there_is_created_in_the_namespace_of_the_context() -> None:
    api = ScriptedApi(get=[None], create=[live()])
    assert apply(cluster_of(api), WANTED).done == "created"
    verb, path, content, query = api.asked[-1]
    assert (verb, path, query) == ("create", PATH, {"fieldValidation": "Strict"})
    assert content["metadata"] == {"name": "viggo", "namespace": "team", "labels": {"team": "a"}}
    assert content["spec"] == WANTED.written()["spec"]


def test_what_is_there_gets_the_files_spec_and_keeps_what_others_wrote() -> None:
    kept = {"llmworkflow.io/approve": "score@1#2"}
    api = ScriptedApi(get=[live(annotations=kept)], replace=[live("8")])
    assert apply(cluster_of(api), WANTED, dry_run=True).done == "configured"
    _, path, content, query = api.asked[-1]
    assert (path, query["dryRun"]) == (f"{PATH}/viggo", "All")
    metadata = content["metadata"]
    assert (metadata["resourceVersion"], metadata["annotations"]) == ("7", kept)
    assert metadata["labels"] == {"owner": "b", "team": "a"}
    assert "managedFields" not in metadata
    assert content["spec"] == WANTED.written()["spec"]


@pytest.mark.parametrize(("file", "suspended"), [(FILE, True), (f"{FILE}  suspend: false\n", False)])
def test_a_suspension_outlives_files_that_do_not_speak_of_it(file: str, suspended: bool) -> None:
    api = ScriptedApi(get=[live(annotations={"llmworkflow.io/suspended-by": "bob"})], replace=[live("8")])
    apply(cluster_of(api), load_workflow(file))
    assert api.asked[-1][2]["spec"]["suspend"] is suspended


def test_an_edit_by_somebody_else_is_taken_in() -> None:
    api = ScriptedApi(get=[None, live(), live("8")], create=[refused(409)], replace=[refused(409), live("8")])
    assert apply(cluster_of(api), WANTED).done == "unchanged"
    assert [verb for verb, *_ in api.asked] == ["get", "create", "get", "replace", "get", "replace"]


def test_a_namespace_that_is_not_there_is_told_at_once() -> None:
    api = ScriptedApi(get=[None], create=[refused(404)])
    with pytest.raises(ClientError, match="404"):
        apply(cluster_of(api), WANTED)


def test_a_workflow_that_goes_is_not_brought_back() -> None:
    going = live()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(ClientError, match="is being deleted"):
        apply(cluster_of(ScriptedApi(get=[going])), WANTED)


def test_a_file_for_another_namespace_is_refused() -> None:
    file = load_workflow(FILE.replace("{name: viggo,", "{name: viggo, namespace: team,"))
    with pytest.raises(ClientError, match=r"metadata.namespace is team, and --namespace other"):
        apply(cluster_of(ScriptedApi(), "other"), file)
