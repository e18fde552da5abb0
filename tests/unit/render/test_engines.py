"""Digests of what engines are made of: they change with what engines start with, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llmworkflow.core.actions import Input, Work
from llmworkflow.render.engines import cluster, engines
from llmworkflow.render.settings import Settings

from .builders import TUNED, WORK, make_workflow

SETTINGS = Settings()


def served(**changes: Any) -> dict[str, Any]:
    """A serving stage with changes to its only model."""
    return {"serve": {"models": [{"modelId": "viggo", "model": {"stage": "tune"}, **changes}]}}


def digests(work: Work = WORK["chat"], **spec: Any) -> tuple[str, str]:
    workflow = make_workflow(**spec)
    return engines(workflow, work, SETTINGS), cluster(workflow, work, SETTINGS)


def tuned(kind: str, uri: str) -> Input:
    assert TUNED.artifact is not None
    return replace(TUNED, artifact=TUNED.artifact.model_copy(update={"type": kind, "uri": uri}))


@pytest.mark.parametrize(
    "stages",
    [
        {"chat": served(engine="vllm", replicas={"min": 1})},
        {"chat": {"serve": {"upgrade": "replace", "verify": {"rows": 3}}}},
        {"chat": {"retries": 7, "approval": {"required": True}}},
        {"tune": {"timeoutSeconds": 60}},
    ],
    ids=["defaults written out", "how it is brought", "how it is judged", "another stage"],
)
def test_what_engines_do_not_start_with_leaves_both_as_they_are(stages: dict[str, Any]) -> None:
    assert digests(stages=stages) == digests()


def test_another_adapter_leaves_both_and_another_full_model_neither() -> None:
    def with_input(made: Input) -> tuple[str, str]:
        return digests(replace(WORK["chat"], inputs={"tune": made}))

    assert with_input(tuned("adapter", "a")) == with_input(tuned("adapter", "b"))
    one, other = with_input(tuned("model", "a")), with_input(tuned("model", "b"))
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_options_of_engines_change_both_and_settings_of_pods_the_cluster_alone() -> None:
    before = digests()
    options = digests(stages={"chat": served(engineKwargs={"max_model_len": 4096})})
    assert options[0] != before[0]
    assert options[1] != before[1]
    pods = digests(ray={"accelerator": {"name": "l4"}, "env": [{"name": "A", "value": "b"}]})
    assert pods[0] == before[0]
    assert pods[1] != before[1]


def test_digests_are_those_of_earlier_versions() -> None:
    """Other ones would start the engines of every endpoint anew at its next promotion after an upgrade."""
    assert digests() == ("ea9319f98274", "14a9f14c6059")
