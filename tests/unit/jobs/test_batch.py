"""What stops a batch before an engine starts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import batch, batch_plan, config, report
from llmworkflow_jobs.errors import JobError

Document = Callable[..., dict[str, Any]]

ROWS = [
    {"instruction": "inform", "input": "what is the name", "output": "name"},
    {"instruction": "inform", "input": "what is the year", "output": "year"},
]

PARQUET = {"output": {"format": "parquet", "keep": None}}


@pytest.fixture
def volume(tmp_path: Path, chat_tokenizer: Any) -> Path:
    """Storage with a model's configuration and tokenizer, and two rows."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    chat_tokenizer.save_pretrained(tmp_path / "model")
    write_rows(tmp_path, ROWS)
    return tmp_path


def write_rows(volume: Path, rows: list[dict[str, Any]]) -> None:
    (volume / "test.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def new_report(job: config.JobConfig, folder: Path) -> report.Report:
    return report.Report(job, report.FileSink(str(folder / "report.json")))


def prepare(document: dict[str, Any], volume: Path) -> batch_plan.Plan:
    job = config.parse(document)
    return batch_plan.prepare(job, new_report(job, volume))


def test_a_plan_has_the_requests_and_the_sampling(
    volume: Path, stage_config: Document, chat_tokenizer: Any
) -> None:
    plan = prepare(
        stage_config("batch", evaluate={"metrics": ["exactMatch"]}, output={"keep": ["input"]}), volume
    )
    assert [request.reference for request in plan.requests] == ["name", "year"]
    assert chat_tokenizer.decode(plan.requests[0].token_ids) == (
        "<|im_start|>user\ninform\nwhat is the name<|im_end|>\n<|im_start|>assistant\n"
    )
    assert plan.columns == ["input"]
    assert plan.parameters == {"temperature": 0.0, "max_tokens": 16}


def no_model(volume: Path) -> None:
    (volume / "model").rename(volume / "elsewhere")


def no_config(volume: Path) -> None:
    (volume / "model" / "config.json").unlink()


def no_rows(volume: Path) -> None:
    (volume / "test.jsonl").write_text("\n")


def no_data(volume: Path) -> None:
    (volume / "test.jsonl").unlink()


def no_instruction(volume: Path) -> None:
    write_rows(volume, [*ROWS, {"question": "what"}])


def no_fields(volume: Path) -> None:
    write_rows(volume, [{**row, "metadata": {}} for row in ROWS])


def two_types(volume: Path) -> None:
    write_rows(volume, [{**row, "label": label} for row, label in zip(ROWS, (1, "one"), strict=True)])


def long_number(volume: Path) -> None:
    write_rows(volume, [{**row, "label": 1 << 63} for row in ROWS])


def nothing(volume: Path) -> None:
    """Leave the volume as it is."""


@pytest.mark.parametrize(
    ("spoil", "changes", "reason", "message"),
    [
        (no_model, {}, "FileNotFound", "volume:model"),
        (no_config, {}, "ModelInvalid", "config.json"),
        (no_rows, {}, "DataEmpty", "volume:test.jsonl"),
        (no_data, {}, "FileNotFound", "volume:test.jsonl"),
        (no_instruction, {}, "ColumnMissing", "line 3"),
        (nothing, {"evaluate": {"metrics": ["exactMatch", "bleu"]}}, "MetricUnknown", "exactMatch"),
        (nothing, {"evaluate": {"metrics": ["no_such:f"]}}, "ImageLacksPackage", "metric no_such:f"),
        (nothing, {"evaluate": {"metrics": ["jsonValid"], "groupBy": "id"}}, "ColumnMissing", "groupBy"),
        (nothing, {"model": {"stage": "tune"}}, "ArtifactMissing", "tune"),
        (nothing, {"output": {"keep": ["question"]}}, "ColumnMissing", "question"),
        (nothing, {"input": {"idColumn": "id"}}, "DataInvalid", "id"),
        (no_fields, PARQUET, "DataInvalid", "output.format: jsonl"),
        (two_types, PARQUET, "DataInvalid", "output.format: jsonl"),
        (long_number, PARQUET, "DataInvalid", "output.format: jsonl"),
    ],
)
def test_what_stops_a_batch_before_an_engine_starts(
    volume: Path,
    stage_config: Document,
    spoil: Callable[[Path], None],
    changes: dict[str, Any],
    reason: str,
    message: str,
) -> None:
    spoil(volume)
    own = {name: change for name, change in changes.items() if name != "model"}
    document = stage_config("batch", **own)
    document["batch"]["model"] = changes.get("model")  # the document has a model too
    with pytest.raises(JobError, match=message) as caught:
        prepare(document, volume)
    assert caught.value.reason == reason


def test_only_metrics_that_compare_need_a_reference(volume: Path, stage_config: Document) -> None:
    write_rows(volume, [{"instruction": "inform"}, ROWS[0]])
    plan = prepare(stage_config("batch", evaluate={"metrics": ["jsonValid", "stopRate"]}), volume)
    assert [request.reference for request in plan.requests] == [None, "name"]
    with pytest.raises(JobError, match="line 1, column output") as caught:
        prepare(stage_config("batch", evaluate={"metrics": ["jsonValid", "tokenF1"]}), volume)
    assert caught.value.reason == "ColumnMissing"


def test_a_bad_row_goes_on_as_an_error_where_it_may(volume: Path, stage_config: Document) -> None:
    no_instruction(volume)
    plan = prepare(stage_config("batch", onRowError="continue"), volume)
    assert [request.error is None for request in plan.requests] == [True, True, False]


def test_a_row_that_the_chat_template_refuses_ends_a_strict_batch(
    volume: Path, stage_config: Document
) -> None:
    document = stage_config("batch", onRowError="continue")
    document["prompt"]["chatTemplate"] = (
        "{% if 'year' in messages[-1]['content'] %}{{ raise_exception('no years') }}{% endif %}asked"
    )
    good, bad = prepare(document, volume).requests
    assert (good.error, bad.error) == (None, "column messages: the chat template refuses them: no years")
    document["batch"]["onRowError"] = "fail"
    with pytest.raises(JobError, match="row 1: column messages: the chat template refuses them"):
        prepare(document, volume)


def test_rows_whose_postprocess_fails_end_a_strict_batch() -> None:
    results = [{"row_id": 0, "error": None}, {"row_id": 1, "error": "postprocess: no such field"}]
    batch.check_answered(results, "continue")
    with pytest.raises(JobError, match="row 1: postprocess: no such field; set onRowError: continue"):
        batch.check_answered(results, "fail")
    with pytest.raises(JobError, match="all 1 rows failed, row 1"):
        batch.check_answered(results[1:], "continue")
