"""Batch inference through the real driver, Ray Data and vLLM on a tiny model."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pyarrow import parquet

from llmworkflow_jobs import config, engine, sampling
from llmworkflow_jobs.errors import JobError

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ENGINE_ACTOR = "ray::MapWorker(MapBatches(vLLMEngineStageUDF))"


@pytest.fixture(scope="module")
def base_rows(
    inference_volume: Path, stage_document: Callable[..., Any], start_shared_job: Any
) -> list[dict[str, Any]]:
    """Rows of the base model, two of which are bad, from a batch whose engine was killed while it answered."""
    bad = [{"input": "no instruction"}, {"instruction": "inform", "input": "name " * 2000}]
    data = (inference_volume / "test.jsonl").read_text() + "".join(f"{json.dumps(row)}\n" for row in bad)
    (inference_volume / "with-bad-rows.jsonl").write_text(data)
    document = stage_document(
        "batch",
        inference_volume.as_uri(),
        stage={"name": "base"},
        input={"uri": "volume:with-bad-rows.jsonl"},
        sampling={"maxTokens": 400, "extra": {"ignore_eos": True}},
        onRowError="continue",
        batchSize=2,  # so that rows are finished while others are not begun
    )
    job = start_shared_job("batch", document)
    kill_when_some_rows_are_done(job)
    report = job.wait(timeout=500)
    assert report["state"] == "Succeeded", report
    folder = Path(config.parse(document).output_uri.removeprefix("file://")) / "rows"
    return [json.loads(line) for line in (folder / "part-00000.jsonl").read_text().splitlines()]


def kill_when_some_rows_are_done(job: Any) -> None:
    deadline = time.monotonic() + 400
    while (percent := (job.report.get("progress") or {}).get("percent", 0)) == 0:
        assert job.process.poll() is None, "the job ended before any row was reported done"
        assert time.monotonic() < deadline, "no row was done within 400 s"
        time.sleep(0.02)
    assert percent < 100
    processes = psutil.Process().children(recursive=True)
    (actor,) = [process for process in processes if ENGINE_ACTOR in " ".join(process.cmdline())]
    os.kill(actor.pid, signal.SIGKILL)


@pytest.mark.capability("generate")
def test_every_row_is_there_once_although_the_engine_was_killed(base_rows: list[dict[str, Any]]) -> None:
    assert [row["row_id"] for row in base_rows] == list(range(102))
    assert [row["input"] for row in base_rows[:3]] == ["name name 0", "release name 1", "year name 2"]
    assert all(row["num_generated_tokens"] == 400 and row["truncated"] for row in base_rows[:100])


@pytest.mark.capability("row-errors")
def test_bad_rows_are_kept_with_their_error(base_rows: list[dict[str, Any]]) -> None:
    no_prompt, too_long = base_rows[100:]
    assert "instruction" in no_prompt["error"]
    assert "maximum context length" in too_long["error"]
    assert {row["error"] for row in base_rows[:100]} == {None}


@pytest.mark.capability("generate")
def test_an_adapter_answers_otherwise_than_the_base(scored: Any, base_rows: list[dict[str, Any]]) -> None:
    (file,) = (scored.volume / "default/viggo/score/0123456789ab/1/rows").glob("*.parquet")
    tuned = parquet.read_table(file).to_pylist()
    assert [row["row_id"] for row in tuned] == list(range(100))
    same_prompt = [
        (new["num_input_tokens"], old["num_input_tokens"]) for new, old in zip(tuned, base_rows, strict=False)
    ]
    assert all(new == old for new, old in same_prompt)
    begun_alike = [
        new["generated_token_ids"][:4] == old["generated_token_ids"][:4]
        for new, old in zip(tuned, base_rows, strict=False)
    ]
    assert sum(begun_alike) < 50


@pytest.fixture(scope="module")
def mixed_rows(
    scored: Any,
    publish_adapter: Callable[..., dict[str, str]],
    stage_document: Callable[..., Any],
    start_shared_job: Any,
) -> list[dict[str, Any]]:
    """Rows of a batch with two adapters, each prompt asked of the first, the second, the base and one unknown."""
    prompts = [json.loads(line) for line in (scored.volume / "test.jsonl").read_text().splitlines()][:24]
    names = ["first", "second", "", "third"]
    rows = [row | {"which": name, "prompt": index} for index, row in enumerate(prompts) for name in names]
    (scored.volume / "mixed.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    second = publish_adapter("eeeeeeeeeeee", 4)
    document = stage_document(
        "batch",
        scored.volume.as_uri(),
        stage={"name": "mixed"},
        inputs={"tune": {"kind": "fineTune", "revision": "a" * 12, "attempt": 1, "artifact": scored.adapter}},
        input={"uri": "volume:mixed.jsonl"},
        adapters=[
            {"name": "first", "stage": "tune", "uri": None},
            {"name": "second", "stage": None, "uri": f"{second['uri']}/adapter"},
        ],
        adapterColumn="which",
        onRowError="continue",
    )
    report = start_shared_job("batch", document).wait(timeout=500)
    assert report["state"] == "Succeeded", report
    folder = Path(config.parse(document).output_uri.removeprefix("file://")) / "rows"
    return [json.loads(line) for line in (folder / "part-00000.jsonl").read_text().splitlines()]


def answers_of(rows: list[dict[str, Any]], adapter: str) -> list[list[int]]:
    return [row["generated_token_ids"] for row in rows if row["which"] == adapter]


@pytest.mark.capability("adapters-by-row")
def test_each_row_is_answered_by_the_adapter_that_it_names(
    scored: Any, base_rows: list[dict[str, Any]], mixed_rows: list[dict[str, Any]]
) -> None:
    (file,) = (scored.volume / "default/viggo/score/0123456789ab/1/rows").glob("*.parquet")
    alone = [row["generated_token_ids"] for row in parquet.read_table(file).to_pylist()]
    first, second, base = (answers_of(mixed_rows, name) for name in ("first", "second", ""))
    assert first == alone[:24]
    assert [answer[:4] for answer in base] == [row["generated_token_ids"][:4] for row in base_rows[:24]]
    assert not [answer for answer, others in zip(second, first, strict=True) if answer == others]
    assert not [answer for answer, others in zip(second, base, strict=True) if answer == others]


@pytest.mark.capability("adapters-by-row")
def test_a_row_of_an_unknown_adapter_is_an_error(mixed_rows: list[dict[str, Any]]) -> None:
    unknown = [row for row in mixed_rows if row["which"] == "third"]
    assert len(unknown) == 24
    for row in unknown:
        assert row["error"] == "column which names the adapter 'third', there are first, second"
        assert row["generated_text"] is None
    assert {row["error"] for row in mixed_rows if row["which"] != "third"} == {None}


@pytest.mark.capability("row-figures", "metrics")
def test_scores_and_rates_are_reported(scored: Any) -> None:
    metrics = scored.report["metrics"]
    assert metrics["exactMatch"]["n"] == 100
    assert (metrics["rows"]["value"], metrics["rowErrors"]["value"]) == (100, 0)
    assert metrics["rowsPerSecond"]["value"] > 0
    assert metrics["outputTokensPerSecond"]["value"] > 0
    assert set(scored.report["resolved"]) == {"volume:model", "volume:test.jsonl"}


def test_an_attempt_that_was_published_only_reports_again(scored: Any, start_job: Any) -> None:
    report = start_job("batch", scored.document).wait(timeout=30)
    for field in ("state", "artifact", "metrics", "resolved"):
        assert report[field] == scored.report[field]


@pytest.mark.capability("engine-options")
@pytest.mark.parametrize(
    ("check", "options", "message"),
    [
        (engine.check_overrides, {"max_model_length": 64}, "did you mean max_model_len"),
        (engine.check_overrides, {"generation_config": "vllm"}, "model.generationConfig"),
        (sampling.check_extra, {"stop_token_id": 3}, "did you mean stop_token_ids"),
        (sampling.check_extra, {"top_p": 0.5}, "set sampling.topP"),
        (sampling.check_extra, {"n": 2}, "one answer"),
    ],
)
def test_options_are_checked_against_vllm(check: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message) as caught:
        check(options)
    assert caught.value.reason == "OptionInvalid"
