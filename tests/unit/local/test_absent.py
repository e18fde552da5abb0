"""What is not there on this machine: what a run refuses, and what a stage may yet make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llmworkflow.api.spec.workflow import LLMWorkflow
from llmworkflow.api.status import LLMWorkflowStatus, StageStatus, Verdict
from llmworkflow.core.revision import revisions
from llmworkflow.local.absent import absent, lacking
from llmworkflow.local.paths import with_absolute_paths

FIRST = {"name": "first", "batch": {"input": {"uri": "volume:a.jsonl"}, "output": {"uri": "./made"}}}
SERVE = {"name": "chat", "serve": {"models": [{"modelId": "m", "source": "volume:tiny"}]}}
NOTHING = LLMWorkflowStatus()


def of(*stages: dict[str, Any], source: str = "volume:tiny") -> LLMWorkflow:
    spec = {"model": {"source": source}, "storage": {"volume": {"claimName": "data"}}, "stages": stages}
    return LLMWorkflow.model_validate({"metadata": {"name": "near"}, "spec": spec})


def reads(uri: str) -> dict[str, Any]:
    return {"name": "score", "batch": {"input": {"uri": uri}}}


def refused(folder: Path, workflow: LLMWorkflow, status: LLMWorkflowStatus = NOTHING) -> list[str]:
    whole = with_absolute_paths(workflow, folder)
    return [str(problem) for problem in lacking(whole, status, folder, folder / "home" / "volumes")]


def test_a_file_that_nothing_makes_is_refused_with_its_field(tmp_path: Path) -> None:
    (told,) = refused(tmp_path, of(reads("./later.csv")))
    assert told == (
        f"spec.stages[0].batch.input.uri: {tmp_path}/later.csv is not there, and no stage makes it; "
        "put it there, or correct the address"
    )
    (tmp_path / "later.csv").touch()
    assert refused(tmp_path, of(reads("./later.csv"))) == []


@pytest.mark.parametrize(
    "uri", ["./made", "./made/part-0.parquet", "./home/volumes/data/rows.jsonl", "volume:b"]
)
def test_what_a_stage_may_make_is_waited_for(tmp_path: Path, uri: str) -> None:
    assert refused(tmp_path, of(FIRST, reads(uri))) == []


def test_data_of_a_stage_that_is_done_may_be_gone(tmp_path: Path) -> None:
    workflow = with_absolute_paths(of(reads("./later.csv")), tmp_path)
    revision = revisions(workflow, NOTHING.resolved)["score"]
    done = Verdict(kind="batch", revision=revision, attempt=1, finished_at="x")
    stage = StageStatus(name="score", kind="batch", state="Succeeded", revision=revision, results=[done])
    assert refused(tmp_path, workflow, LLMWorkflowStatus(stages=[stage])) == []


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "a model of the hub is hf://Qwen/Qwen2.5-0.5B-Instruct"),
        ("./models/of/mine", "put it there, or correct the address"),
    ],
)
def test_a_model_of_the_hub_is_recognised(tmp_path: Path, source: str, hint: str) -> None:
    workflow = of(reads("volume:a.jsonl"), source=source)
    (told,) = refused(tmp_path, workflow)
    assert told.endswith(f"; {hint}")
    (written,) = map(str, absent(workflow, tmp_path))
    assert written.startswith(f"spec.model.source = {source} is not there")
    assert ("hf://" in written) is ("hf://" in hint)


def test_a_base_model_that_no_stage_reads_may_be_gone(tmp_path: Path) -> None:
    assert refused(tmp_path, of(SERVE, source="./tiny")) == []
