"""What stages depend on and refer to."""

from __future__ import annotations

from llmworkflow.api.graph import all_dependencies, direct_dependencies, references
from llmworkflow.api.parse import parse_workflow

from .examples import FULL, WIDE, content, edited

WORKFLOW = parse_workflow(content(WIDE))


def test_direct_dependencies() -> None:
    assert direct_dependencies(WORKFLOW.spec) == {
        "near": (),  # nothing stands before it
        "first": ("near",),  # says nothing: the stage before
        "second": ("near",),
        "vectors": (),  # says []: a root
        "elsewhere": (),
        "rows": ("second",),
        "chat": ("first", "rows"),
        "again": ("chat",),
    }


def test_all_dependencies() -> None:
    found = all_dependencies(WORKFLOW.spec)
    assert found["chat"] == {"first", "rows", "second", "near"}
    assert found["again"] == found["chat"] | {"chat"}
    assert found["vectors"] == set()


def test_a_later_stage_is_no_dependency() -> None:
    workflow = parse_workflow(edited(FULL, ("spec", "stages", 0, "dependsOn"), ["chat", "gone", "tune"]))
    assert all_dependencies(workflow.spec) == {"tune": set(), "score": {"tune"}, "chat": {"tune", "score"}}


def test_references() -> None:
    found = {
        stage.name: [(reference.path, reference.target, reference.kind) for reference in references(stage)]
        for stage in WORKFLOW.spec.stages
    }
    assert found == {
        "near": [],
        "first": [],
        "second": [],
        "vectors": [],
        "elsewhere": [],
        "rows": [(("batch", "adapters", 0, "stage"), "second", "fineTune")],
        "chat": [
            (("serve", "models", 0, "model", "stage"), "first", "fineTune"),
            (("serve", "models", 1, "adapters", 0, "stage"), "second", "fineTune"),
        ],
        "again": [
            (("batch", "input", "stage"), "rows", "batch"),
            (("batch", "through", "stage"), "chat", "serve"),
        ],
    }


def test_words_of_a_comparison_are_no_references() -> None:
    score = parse_workflow(content(FULL)).spec.stages[1]
    assert [gate.better_than for gate in score.gates] == [None, "serving"]
    assert [reference.target for reference in references(score)] == ["tune"]
