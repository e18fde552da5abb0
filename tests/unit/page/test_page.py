"""The page of real results, from what is read to the file that an approver opens."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs, parquet

from llmworkflow.api.status import LLMWorkflowStatus, StageStatus
from llmworkflow.page.comparison import Outcome
from llmworkflow.page.contenders import Role, trials
from llmworkflow.page.evaluation import evaluations
from llmworkflow.page.gather import gather, read_rows
from llmworkflow.page.lineage import costs, origins
from llmworkflow.page.page import Page, page_of
from llmworkflow.page.render import to_html
from llmworkflow.page.sources import Sources
from llmworkflow.page.training import trainings

from .fixture import FIRST, FOLDER, NOW, SECOND, THIRD, prompt, sources, status, workflow


@pytest.fixture(scope="module")
def found() -> Sources:
    return sources()


@pytest.fixture(scope="module")
def page(found: Sources) -> Page:
    return page_of(found, prompt)


@pytest.fixture(scope="module")
def html(page: Page) -> str:
    return to_html(page)


class Reader(HTMLParser):
    """Text, tags and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_everything_is_read(found: Sources) -> None:
    assert found.absent == ()
    assert len(found.manifests) == 7
    assert len(found.curves) == 3
    assert {len(rows) for rows in found.rows.values()} == {16}


def test_the_candidate_meets_what_serves_and_the_base() -> None:
    (trial,) = trials(workflow(), status())
    assert trial.stage.name == "score"
    assert [(item.role, item.stage, item.revision) for item in trial.contenders] == [
        (Role.CANDIDATE, "score", THIRD),
        (Role.INCUMBENT, "score", FIRST),
        (Role.BASE, "base", "55215d517136"),
    ]


def test_what_served_before_is_the_incumbent_of_what_serves() -> None:
    now = status()
    serving = next(stage.serving for stage in now.stages if stage.serving)
    older = serving.inputs["score"].model_copy(update={"revision": SECOND})
    old = serving.model_copy(update={"digest": "old", "inputs": {**serving.inputs, "score": older}})
    score = next(stage for stage in now.stages if stage.name == "score")
    first = score.model_copy(update={"revision": FIRST})
    stages = [first if stage.name == "score" else stage for stage in now.stages]
    (trial,) = trials(workflow(), now.model_copy(update={"stages": stages, "history": [old]}))
    assert [(item.role, item.revision) for item in trial.contenders[:2]] == [
        (Role.CANDIDATE, FIRST),
        (Role.INCUMBENT, SECOND),
    ]
    assert trial.contenders[1].metrics == score.results[1].metrics


def test_rows_are_won_and_lost_against_the_incumbent(page: Page) -> None:
    comparison = page.evaluations[0].comparison
    assert comparison
    assert comparison.opponent == "incumbent"
    assert sum(comparison.counts.values()) == 16
    assert (
        comparison.counts[Outcome.LOST] == len([row for row in comparison.rows if row.outcome == "lost"]) > 2
    )
    failed, cut, *_ = comparison.rows
    assert failed.answers[0].error == "the engine gave no answer"
    assert cut.answers[0].truncated
    assert [answer.role for answer in failed.answers] == ["candidate", "incumbent", "base"]


def test_gates_and_other_results_are_listed(page: Page) -> None:
    (evaluation,) = page.evaluations
    assert [(gate.text, gate.holds) for gate in evaluation.gates] == [
        ("exactMatch at least 0.5", True),
        ("exactMatch better than serving, at 95 %", False),
    ]
    assert [revision for revision, *_ in evaluation.earlier] == [SECOND]
    assert evaluation.errors == [("the engine gave no answer", 1)]


def test_losses_are_drawn_over_those_of_what_serves(found: Sources) -> None:
    (training,) = trainings(found)
    assert training.before == "eb270831bdc6"
    assert training.curves
    assert [line.label for line in training.curves.lines] == [
        "train loss",
        "evaluation loss",
        "train loss, revision eb270831bdc6",
        "evaluation loss, revision eb270831bdc6",
    ]
    assert training.curves.logarithmic
    assert training.figures["steps"] == "96"


def test_gpu_hours_count_accelerators_while_jobs_run() -> None:
    spec = workflow().spec
    with_gpus = {"ray": {"accelerator": {"type": "L4", "count": 2}}, **spec.written()}
    wanted = type(spec).model_validate(with_gpus)
    gpus = replace(sources(accelerated=True), workflow=workflow().model_copy(update={"spec": wanted}))
    by_stage = {cost.stage: cost for cost in costs(gpus)}
    assert by_stage["tune"].seconds == 282
    assert by_stage["tune"].gpu_hours == pytest.approx(2 * 282 / 3600)
    assert by_stage["base"].reused
    assert by_stage["base"].gpu_hours == 0
    on_cpu = costs(replace(gpus, accelerated=False))
    assert {cost.gpu_hours for cost in on_cpu} == {0.0}


def test_lineage_has_digests_data_and_versions(found: Sources) -> None:
    score = next(origin for origin in origins(found) if origin.stage == "score")
    facts = dict(score.facts)
    assert facts["base model"] == ["volume:models/tiny", "sha256:8956b26e1a8d"]
    assert facts["tuned by"][0] == "file:///artifacts/tune/7f31aa90d2c4/1"
    assert facts["data"] == ["volume:data/test.jsonl", "sha256:55c0b574d5be"]
    assert "trl 1.16.0" in facts["versions"][0]


def test_the_page_says_what_to_decide_and_how(html: str) -> None:
    text = " ".join(Reader(html).text.split())
    assert f"Your decision: score {THIRD}" in text
    assert "llmworkflow approve demo score --note 'why'" in text
    assert "exactMatch at least 0.5" in text
    assert "candidate against incumbent" in text
    assert "GPU hours of the latest attempts: 0.00" in text
    assert "give_opinion(name[Golden Legion]" in text


def test_the_page_needs_nothing_from_elsewhere(html: str) -> None:
    reader = Reader(html)
    assert not {"link", "img", "iframe", "object", "base"} & {tag for tag, _ in reader.tags}
    assert not [
        attributes for _, attributes in reader.tags if {"src", "href", "xlink:href"} & set(attributes)
    ]
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|\bimport\b *\(", html)


def test_markup_in_data_is_text(found: Sources) -> None:
    evil = "<script>alert(1)</script><b onclick='x'>&amp;"
    rows = {
        uri: [{**row, "input": evil, "generated_text": evil, "reference": "a " + evil} for row in some]
        for uri, some in found.rows.items()
    }
    stages = [stage.model_copy(update={"message": evil}) for stage in found.status.stages]
    spoilt = replace(found, rows=rows, status=found.status.model_copy(update={"stages": stages}))
    reader = Reader(to_html(page_of(spoilt, prompt)))
    assert [tag for tag, _ in reader.tags].count("script") == 1  # the page's own
    assert not [attributes for _, attributes in reader.tags if "onclick" in attributes]
    assert evil in reader.text


def test_a_workflow_that_never_ran_has_a_page() -> None:
    text = Reader(to_html(page_of(sources(LLMWorkflowStatus()), prompt))).text
    assert "The candidate has no scored result yet." in text
    assert "Nothing has run yet." in text


def test_a_first_result_has_a_page_and_the_base_as_opponent() -> None:
    now = status()

    def first_only(stage: StageStatus) -> StageStatus:
        kept = stage.results[-1:]
        alone = {"results": kept, "revision": kept[0].revision} if kept else {}
        return stage.model_copy(update={**alone, "serving": None})

    first = now.model_copy(update={"stages": [first_only(stage) for stage in now.stages], "serving": None})
    page = page_of(sources(first), prompt)
    assert page.evaluations[0].comparison
    assert page.evaluations[0].comparison.opponent == "base"
    assert page.evaluations[0].comparison.counts == {"lost": 0, "won": 16, "unchanged": 0}
    assert page.trainings[0].before == ""
    assert "50 won" not in to_html(page)


def test_base_rows_that_the_job_made_itself_are_scored_too(found: Sources) -> None:
    candidate = next(uri for uri in found.rows if THIRD in uri)
    made = [{**row, "score_exactMatch": 0.5} for row in found.rows[candidate]]
    spec = found.workflow.spec
    alone = spec.model_copy(update={"stages": [stage for stage in spec.stages if stage.name != "base"]})
    own = replace(
        found, workflow=found.workflow.model_copy(update={"spec": alone}), base_rows={candidate: made}
    )
    (evaluation,) = evaluations(own, prompt)
    base = evaluation.scores[0].standings[-1]
    assert (base.role, base.metric.value, base.metric.n, base.metric.errors) == ("base", 0.46875, 16, 1)
    assert "base" in to_html(page_of(own, prompt))


def test_what_is_gone_is_told() -> None:
    now = status()
    gone = (
        now.stages[0]
        .results[0]
        .model_copy(
            update={
                "artifact": now.stages[0]
                .results[0]
                .artifact.model_copy(update={"uri": "file:///artifacts/gone"})
            }
        )
    )
    stages = [now.stages[0].model_copy(update={"results": [gone]}), *now.stages[1:]]
    found = sources(now.model_copy(update={"stages": stages}))
    assert found.absent == ("file:///artifacts/gone/manifest.json: not there",)
    assert "file:///artifacts/gone/manifest.json: not there" in to_html(page_of(found, prompt))


def test_evaluations_without_rows_have_no_comparison(found: Sources) -> None:
    (evaluation,) = evaluations(replace(found, rows={}), prompt)
    assert evaluation.comparison is None
    assert evaluation.finished


def test_rows_and_curves_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    shutil.copytree(FOLDER / "artifacts", folder)
    next(folder.glob("tune/7f31aa90d2c4/1/training.jsonl")).write_text('{"step": 1, "loss"')
    next(folder.glob(f"score/{THIRD}/1/rows/*")).rename(folder / f"score/{THIRD}/1/rows/part-00000.parquet")
    found = gather(
        workflow(),
        status(),
        NOW,
        False,
        lambda uri: (fs.LocalFileSystem(), str(tmp_path / uri.removeprefix("file:///"))),
    )
    curve, rows = found.absent
    assert curve.startswith("file:///artifacts/tune/7f31aa90d2c4/1/training.jsonl: ")
    assert rows.startswith(f"file:///artifacts/score/{THIRD}/1/rows: ")
    assert "No curve was stored" not in to_html(page_of(found, prompt))  # what serves still has one


def test_parquet_is_read_too(tmp_path: Path) -> None:
    rows = [{"row_id": 1, "generated_text": "a"}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "part-00000.parquet")
    filesystem = fs.LocalFileSystem()
    assert [*read_rows(filesystem, str(tmp_path / "part-00000.parquet"))] == rows
