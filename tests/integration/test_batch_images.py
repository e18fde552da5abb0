"""A batch whose own engine sees what rows show, on a tiny Qwen2-VL."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import config

from . import vision_model

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

QUESTION = "what is the name"
COLOURS = ["blue", "green", "red"]
TOKENS = 12


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory, chat_tokenizer: Any) -> Path:
    """A volume with the model, three images, and a file that is none."""
    from PIL import Image

    volume = tmp_path_factory.mktemp("seeing")
    vision_model.save(volume / "model", copy.deepcopy(chat_tokenizer))
    (volume / "photos").mkdir()
    for colour in COLOURS:
        Image.new("RGB", (64, 64), colour).save(volume / "photos" / f"{colour}.png")
    (volume / "photos" / "torn.png").write_bytes((volume / "photos" / "red.png").read_bytes()[:40])
    return volume


@pytest.fixture(scope="module")
def rows(volume: Path, stage_document: Callable[..., Any], start_shared_job: Any) -> list[dict[str, Any]]:
    """What the batch made of the images."""
    document = stage_document(
        "batch",
        volume.as_uri(),
        prompt={"format": "custom", "custom": {"user": QUESTION, "system": None, "response": None}},
        input={"uri": "volume:photos/", "format": "images"},
        multimodal={"kind": "image", "column": "image"},
        sampling={"maxTokens": TOKENS, "extra": {"ignore_eos": True}},
        engineKwargs={
            "max_model_len": 256,
            "limit_mm_per_prompt": {"image": 1, "video": 0},
            "skip_mm_profiling": True,
        },
        onRowError="continue",
    )
    document["batch"]["output"]["keep"] = ["path"]
    report = start_shared_job("batch", document).wait(timeout=500)
    assert report["state"] == "Succeeded", report
    folder = Path(config.parse(document).output_uri.removeprefix("file://")) / "rows"
    return [json.loads(line) for line in (folder / "part-00000.jsonl").read_text().splitlines()]


def answers_of_transformers(folder: Path, photos: list[Path]) -> list[list[int]]:
    import torch
    from PIL import Image
    from transformers import Qwen2VLForConditionalGeneration, Qwen2VLProcessor

    processor = Qwen2VLProcessor.from_pretrained(folder)
    model = Qwen2VLForConditionalGeneration.from_pretrained(folder).eval()
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    found = []
    for photo in photos:
        asked = processor(text=[text], images=[Image.open(photo)], return_tensors="pt")
        with torch.no_grad():
            ids = model.generate(**asked, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False)
        found.append(ids[0, asked["input_ids"].shape[1] :].tolist())
    return found


@pytest.mark.capability("seeing")
def test_answers_are_those_of_transformers(volume: Path, rows: list[dict[str, Any]]) -> None:
    seen = [row for row in rows if row["error"] is None]
    assert [row["path"] for row in seen] == [f"{colour}.png" for colour in COLOURS]
    answers = [row["generated_token_ids"] for row in seen]
    assert answers == answers_of_transformers(
        volume / "model", [volume / "photos" / row["path"] for row in seen]
    )
    assert len({tuple(answer) for answer in answers}) == len(COLOURS)


@pytest.mark.capability("seeing")
def test_what_is_no_image_is_an_error_of_its_row(rows: list[dict[str, Any]]) -> None:
    (torn,) = [row for row in rows if row["error"]]
    assert torn["path"] == "torn.png"
    assert "no image that can be opened" in torn["error"]
