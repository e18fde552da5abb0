"""Words that others rely on: those of jobs, which cannot import them, are the same there."""

from __future__ import annotations

import re
from pathlib import Path

import llmworkflow
from llmworkflow.api.metrics import EVALUATION_METRICS, TRAINING_METRICS
from llmworkflow.api.names import ConditionType, JobReason, Reason, Verb

JOBS = Path(llmworkflow.__file__).parents[2] / "jobs" / "llmworkflow_jobs"
CODE = "\n".join(path.read_text() for path in sorted(JOBS.rglob("*.py")))


def test_words_compare_as_text() -> None:
    assert Reason.LOST == "ChildLost"
    assert f"{ConditionType.READY}" == "Ready"
    assert Reason("ChildLost") is Reason.LOST


def test_annotation_of_a_verb() -> None:
    assert Verb.APPROVE.annotation == "llmworkflow.io/approve"


def test_reasons_of_jobs_are_known() -> None:
    raised = set(re.findall(r'JobError\(\s*"(\w+)"', CODE)) | set(
        re.findall(r'unknown_name\(\s*"(\w+)"', CODE)
    )
    assert len(raised) > 5
    assert raised - set(JobReason) == set()


def test_metrics_of_jobs_are_known() -> None:
    table = re.search(r"^METRICS\b[^=]*= \{(.*?)\}", CODE, re.DOTALL | re.MULTILINE)
    assert table
    computed = re.findall(r'"(\w+)":', table.group(1))
    assert {*computed, "regex"} == set(EVALUATION_METRICS)


def test_training_reports_the_metrics_that_gates_may_name() -> None:
    assert [name for name in TRAINING_METRICS if f'"{name}"' not in CODE] == []
