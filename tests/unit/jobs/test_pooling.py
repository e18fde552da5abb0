"""Texts that get a vector or a class."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs, parquet

from llmworkflow_jobs import batch_options, pooling, rows
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.rows import Answer, Request

REQUEST = Request(0, {"text": "fine"}, [{"role": "user", "content": "fine"}], [1])


def test_the_text_of_a_row_is_no_chat(chat_tokenizer: Any) -> None:
    messages = [{"role": "system", "content": "about"}, {"role": "user", "content": "the name"}]
    assert chat_tokenizer.decode(pooling.encoder(chat_tokenizer)(messages)) == "about\nthe name"


def save_config(folder: Path, **settings: Any) -> str:
    architecture = {"architectures": ["RobertaForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(architecture | settings))
    return str(folder)


def test_classes_come_from_the_model(tmp_path: Path) -> None:
    labels = {str(index): f"class {index}" for index in range(11)}
    folder = save_config(tmp_path, id2label=dict(reversed(labels.items())))
    assert pooling.labels_of(folder) == [f"class {index}" for index in range(11)]
    assert pooling.labels_of(save_config(tmp_path)) == []


def test_a_model_that_writes_text_has_no_classes(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="Qwen2ForCausalLM") as caught:
        pooling.labels_of(save_config(tmp_path, architectures=["Qwen2ForCausalLM"]))
    assert caught.value.reason == "ModelInvalid"


@pytest.mark.parametrize(
    ("values", "labels", "text"),
    [
        ([0.2, 0.8], ["bad", "good"], "good"),
        ([0.2, 0.8], [], "LABEL_1"),  # as transformers calls it
        ([3.25], [], "3.25"),  # a model with one output scores
    ],
)
def test_the_likeliest_class_is_the_answer(values: list[float], labels: list[str], text: str) -> None:
    given = [(0, Answer("", [], 0.1, values=values)), (1, Answer("", [], -1.0, "too long"))]
    found = list(pooling.labelled(lambda requests: iter(given), labels)([]))
    assert [answer.text for _, answer in found] == [text, ""]


@pytest.mark.parametrize("column", [rows.EMBEDDING, rows.PROBABILITIES])
def test_failed_rows_have_no_vector(tmp_path: Path, column: str) -> None:
    answers = [Answer("", [], 0.1, values=[0.25, 0.75]), Answer("", [], -1.0, "too long")]
    results = [rows.result(REQUEST, answer, ["text"], 16, [column]) for answer in answers]
    rows.write(results, "parquet", fs.LocalFileSystem(), str(tmp_path))
    assert [row[column] for row in parquet.read_table(tmp_path).to_pylist()] == [[0.25, 0.75], None]


def test_there_are_no_turns_with_a_vector(stage_config: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(JobError, match=r"batch\.turns is .*it is for texts"):
        batch_options.check(stage_config("batch", task="embed", turns=["and"])["batch"])
