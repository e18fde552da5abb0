"""A candidate against the rows that an incumbent published, from the job's configuration to its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs

from llmworkflow.core.report import parse_report
from llmworkflow_jobs import comparison, metrics, rows, storage
from llmworkflow_jobs.batch_plan import Plan
from llmworkflow_jobs.comparison import needs_base
from llmworkflow_jobs.config import JobConfig, parse
from llmworkflow_jobs.model import BaseModel
from llmworkflow_jobs.report import Report
from llmworkflow_jobs.rows import Answer, Request
from llmworkflow_jobs.scoring import score

from .conftest import MemorySink

Document = Callable[..., dict[str, Any]]

N = 40
REQUESTS = [Request(f"r{n}", {"n": n}, [], [1, n], f"answer {n}") for n in range(N)]
SAMPLING = {"temperature": 0.0, "max_tokens": 16}
DATA = {"volume:test.jsonl": "sha256:aa"}
TERMS = comparison.terms(REQUESTS, SAMPLING, DATA)


class Batches:
    """Batches of the same rows, of which each answers its own number of rows right."""

    def __init__(self, document: Document, folder: Path) -> None:
        self._document = document
        self._folder = folder

    def config(self, stage: str = "score", **changes: Any) -> JobConfig:
        changes = {"evaluate": {"metrics": ["exactMatch"]}, **changes}
        return parse(self._document("batch", stage={"name": stage}, **changes))

    def publish(
        self, right: int, requests: list[Request] = REQUESTS, format: str = "parquet", **lineage: Any
    ) -> dict[str, Any]:
        """What the configuration says of an incumbent with so many right answers."""
        job = self.config(stage="incumbent")
        folder = storage.local_path(f"{job.output_uri}/{rows.FOLDER}", job)
        rows.write(answered(right, requests), format, fs.LocalFileSystem(), folder)
        artifact = storage.publish(job, "rows", [rows.FOLDER], {"evaluation": TERMS} | lineage)
        return told(artifact)

    def compared(
        self, right: int, incumbent: dict[str, Any], base: int | None = None, **evaluate: Any
    ) -> dict[str, Any]:
        """The report's metrics of a candidate with so many right answers, as the planner reads them."""
        config = self.config(
            incumbents={"serving": incumbent}, evaluate={"metrics": ["exactMatch"], **evaluate}
        )
        plan = plan_of(config)
        others = [] if base is None else answered(base)
        found = score(plan, answered(right), others, TERMS, config)
        sink = MemorySink()
        Report(config, sink).metrics(found)
        report = parse_report(sink.written[-1])
        assert report is not None
        return {name: metric.comparisons["serving"] for name, metric in report.metrics.items()}


@pytest.fixture
def batches(stage_config: Document, tmp_path: Path) -> Batches:
    return Batches(stage_config, tmp_path)


def told(artifact: dict[str, str] | None) -> dict[str, Any]:
    known = {"stage": "score", "kind": "batch", "revision": "b" * 12, "attempt": 1}
    return known | {"artifact": artifact, "confidence": 0.95}


def plan_of(config: JobConfig) -> Plan:
    chosen = metrics.resolve(config.section["evaluate"])
    base = BaseModel("volume:model", "", "sha256:00")
    return Plan(base, None, REQUESTS, [], SAMPLING, SAMPLING, chosen, {})  # type: ignore[arg-type]


def answered(right: int, requests: list[Request] = REQUESTS) -> list[dict[str, Any]]:
    texts = [request.reference if n < right else "wrong" for n, request in enumerate(requests)]
    return [
        rows.result(request, Answer(text or "", [5], 0.1), [], 16)
        for request, text in zip(requests, texts, strict=True)
    ]


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_better_by_what_differs_in_the_same_rows(batches: Batches, format: str) -> None:
    found = batches.compared(30, batches.publish(20, format=format))["exactMatch"]
    assert found.comparable
    assert (found.difference, found.n, found.confidence) == (0.25, N, 0.95)
    assert found.incumbent_revision == "b" * 12
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low < 0.25 < found.high


def test_worse_and_equal_ones_are_not_better(batches: Batches) -> None:
    worse = batches.compared(10, batches.publish(20))["exactMatch"]
    assert worse.high is not None
    assert worse.high < 0
    equal = batches.compared(20, batches.publish(20))["exactMatch"]
    assert (equal.difference, equal.low, equal.high) == (0, 0, 0)


def test_every_metric_is_compared(batches: Batches) -> None:
    found = batches.compared(30, batches.publish(20), metrics=["exactMatch", "tokenF1", "stopRate"])
    assert {name: metric.difference for name, metric in found.items()} == {
        "exactMatch": 0.25,
        "tokenF1": 0.25,
        "stopRate": 0.0,
    }


def test_rows_of_a_group_are_drawn_together(batches: Batches) -> None:
    incumbent = batches.publish(20)
    few = [
        Request(request.row_id, {"n": n // 10}, [], request.token_ids, request.reference)
        for n, request in enumerate(REQUESTS)
    ]
    config = batches.config(
        incumbents={"serving": incumbent}, evaluate={"metrics": ["exactMatch"], "groupBy": "n"}
    )
    plan = Plan(**{**vars(plan_of(config)), "requests": few})
    found = score(plan, answered(30), [], TERMS, config)["exactMatch"]["comparisons"]["serving"]
    assert found["difference"] == 0.25
    assert found["low"] == 0.0  # ten rows differ, but they are one group


@pytest.mark.parametrize(
    ("requests", "lineage", "message"),
    [
        (REQUESTS, {"evaluation": TERMS | {"data": "sha256:bb"}}, "was measured with other data"),
        (REQUESTS, {"evaluation": comparison.terms(REQUESTS, {"temperature": 1.0}, DATA)}, "other sampling"),
        (REQUESTS, {"evaluation": comparison.terms(REQUESTS[1:], SAMPLING, DATA)}, "other prompts"),
        (REQUESTS, {"evaluation": None}, "other data and prompts and sampling"),
        (REQUESTS[1:], {}, "has other rows: 39, of 40 here"),
        ([*REQUESTS[1:], Request("r0", {}, [], [], "other")], {}, "other references in 1 rows, the first in row r0"),
    ],
)  # fmt: skip
def test_what_was_measured_otherwise_is_incomparable(
    batches: Batches, requests: list[Request], lineage: dict[str, Any], message: str
) -> None:
    found = batches.compared(30, batches.publish(20, requests, **lineage))["exactMatch"]
    assert (found.comparable, found.difference, found.low) == (False, None, None)
    assert message in found.message


def test_an_incumbent_whose_rows_are_gone_is_incomparable(batches: Batches, tmp_path: Path) -> None:
    incumbent = batches.publish(20)
    next(tmp_path.rglob("part-00000.parquet")).unlink()
    found = batches.compared(30, incumbent)["exactMatch"]
    assert not found.comparable
    assert "part-00000.parquet is missing" in found.message


def test_terms_are_those_of_what_was_asked() -> None:
    assert comparison.terms(REQUESTS, SAMPLING, {"s3://copy/test.jsonl": "sha256:aa"}) == TERMS
    other_template = [Request(**{**vars(request), "token_ids": [2]}) for request in REQUESTS]
    differing = comparison.terms(other_template, SAMPLING, DATA)
    assert [name for name in TERMS if TERMS[name] != differing[name]] == ["prompts"]


def test_prompts_that_endpoints_are_asked_are_told_apart() -> None:
    def asked(text: str) -> Request:
        return Request(0, {}, [{"role": "user", "content": text}], [])

    one, other = (comparison.terms([asked(text)], SAMPLING, DATA) for text in ("Hello", "Bonjour"))
    assert one["prompts"] != other["prompts"]


def test_the_base_model_is_asked_where_nothing_else_answered(batches: Batches) -> None:
    assert needs_base(batches.config(incumbents={"base": told(None)}))
    assert not needs_base(batches.config(incumbents={"serving": batches.publish(20)}))
    assert not needs_base(batches.config())
    found = batches.compared(30, told(None), base=0)["exactMatch"]
    assert (found.comparable, found.difference) == (True, 0.75)


def test_each_row_has_a_column_for_each_score(batches: Batches) -> None:
    config = batches.config(evaluate={"metrics": ["exactMatch", "stopRate"]})
    results, base = answered(1), answered(0)
    score(plan_of(config), results, base, TERMS, config)
    assert [row["score_exactMatch"] for row in results[:2]] == [1.0, 0.0]
    assert results[0]["score_stopRate"] == base[0]["score_stopRate"] == 1.0
    assert base[0]["score_exactMatch"] == 0.0
