"""Vectors and classes of rows, from models of random weights on the real engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from llmworkflow_jobs import config

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TEXTS = ["name of the year", "release what", "inform"]
LABELS = {0: "negative", 1: "neutral", 2: "positive"}
CUSTOM: dict[str, Any] = {
    "format": "custom",
    "custom": {"user": "{{ row.text }}", "system": None, "response": None},
}


@pytest.fixture(scope="module")
def ask(
    inference_volume: Path, stage_document: Callable[..., Any], start_shared_job: Any
) -> Callable[..., list[dict[str, Any]]]:
    """A function (task, rows, **changes) that runs a batch and returns what it wrote."""

    def run(task: str, items: list[dict[str, Any]], **changes: Any) -> list[dict[str, Any]]:
        document = stage_document(
            "batch",
            inference_volume.as_uri(),
            stage={"name": task},
            task=task,
            input={"uri": None, "items": items},
            **{"prompt": CUSTOM} | changes,
        )
        report = start_shared_job("batch", document).wait(timeout=300)
        assert report["state"] == "Succeeded", report
        part = Path(config.parse(document).output_uri.removeprefix("file://")) / "rows/part-00000.jsonl"
        return [json.loads(line) for line in part.read_text().splitlines()]

    return run


@pytest.mark.capability("vectors")
def test_a_text_gets_the_vector_that_the_model_has_for_it(
    ask: Callable[..., Any], tiny_model: Path, chat_tokenizer: Any
) -> None:
    from transformers import AutoModel

    too_long = "name " * 2000
    found = ask(
        "embed",
        [{"text": text} for text in [*TEXTS, too_long]],
        onRowError="continue",
        pipeline={"maxPendingRequests": 2, "maxConcurrentBatches": 1},
    )
    model = AutoModel.from_pretrained(tiny_model)
    for text, row in zip(TEXTS, found, strict=False):
        ids = torch.tensor([chat_tokenizer.encode(text)])
        with torch.no_grad():
            last = model(ids).last_hidden_state[0, -1]
        expected = torch.nn.functional.normalize(last, dim=0)
        assert torch.allclose(torch.tensor(row["embedding"]), expected, atol=1e-4)
    assert found[3]["embedding"] is None
    assert found[3]["error"]


@pytest.mark.capability("classes")
def test_a_text_gets_the_likeliest_class_and_is_scored_by_it(
    ask: Callable[..., Any], inference_volume: Path, chat_tokenizer: Any
) -> None:
    classifier = save_classifier(inference_volume / "classifier", inference_volume / "model", chat_tokenizer)
    with torch.no_grad():
        logits = [classifier(torch.tensor([chat_tokenizer.encode(text)])).logits[0] for text in TEXTS]
    expected = [torch.softmax(each, dim=0) for each in logits]
    items = [
        {"text": text, "label": LABELS[int(each.argmax())]}
        for text, each in zip(TEXTS, expected, strict=True)
    ]
    custom = CUSTOM["custom"] | {"response": "{{ row.label }}"}  # type: ignore[operator]
    model = {"source": "volume:classifier"}
    found = ask(
        "classify",
        items,
        prompt=CUSTOM | {"custom": custom},
        evaluate={"metrics": ["exactMatch"]},
        model=model,
    )
    assert [row["generated_text"] for row in found] == [item["label"] for item in items]
    assert [row["score_exactMatch"] for row in found] == [1.0, 1.0, 1.0]
    for row, each in zip(found, expected, strict=True):
        assert torch.allclose(torch.tensor(row["probabilities"]), each.float(), atol=1e-4)


def save_classifier(folder: Path, base: Path, tokenizer: Any) -> Any:
    from transformers import AutoConfig, Qwen2ForSequenceClassification

    torch.manual_seed(0)
    settings = AutoConfig.from_pretrained(base)
    settings.id2label = LABELS
    settings.label2id = {name: index for index, name in LABELS.items()}
    model = Qwen2ForSequenceClassification(settings).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
