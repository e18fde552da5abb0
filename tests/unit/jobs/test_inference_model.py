"""Which model is loaded, and which adapters vLLM cannot run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmworkflow_jobs import config, engine, inference_model, storage
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.model import BaseModel

BASE = BaseModel("volume:model", "/models/tiny", "sha256:base")
Document = Callable[..., dict[str, Any]]


def publish(
    document: dict[str, Any], kind: str, files: dict[str, str], digest: str = BASE.digest
) -> dict[str, str]:
    """Publish an artifact of stage tune with these files, made from a base model of this digest."""
    job = config.parse(document | {"stage": document["stage"] | {"name": "tune"}})
    folder = Path(storage.open_uri(job.output_uri, job)[1])
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return storage.publish(job, kind, [kind], {"base": {"source": BASE.source, "digest": digest}})


def adapter_files(**settings: Any) -> dict[str, str]:
    return {"adapter/adapter_config.json": json.dumps({"r": 12} | settings)}


def chosen(document: dict[str, Any], artifact: dict[str, str]) -> inference_model.InferenceModel:
    batch = document["batch"] | {"model": {"stage": "tune"}}
    job = config.parse(document | {"inputs": {"tune": {"artifact": artifact}}, "batch": batch})
    return inference_model.choose(job, BASE)


def test_no_reference_is_the_base_model(stage_config: Document) -> None:
    model = inference_model.choose(config.parse(stage_config("batch")), BASE)
    assert (model.source, model.adapter) == (BASE.folder, None)
    assert model.answering(None) == BASE.folder


@pytest.mark.capability("model-sources")
def test_a_model_of_the_hub_is_loaded_by_name_and_commit(stage_config: Document) -> None:
    job = config.parse(stage_config("batch", model={"source": "hf://org/name"}))
    model = inference_model.on_base(job, "/cache/snapshots/abc123")
    assert (model.source, model.revision) == ("org/name", "abc123")
    assert engine.arguments(job, model, {"engineKwargs": {}})["tokenizer_revision"] == "abc123"


@pytest.mark.capability("hand-off")
def test_an_adapter_comes_on_its_base_model(stage_config: Document) -> None:
    document = stage_config("batch")
    model = chosen(document, publish(document, "adapter", adapter_files()))
    assert model.adapter is not None
    assert (model.source, model.adapter.rank) == (BASE.folder, 12)


def test_rows_choose_among_adapters(stage_config: Document, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "adapter_config.json").write_text(json.dumps({"r": 32}))  # as PEFT leaves it
    document = stage_config("batch")
    games = publish(document, "adapter", adapter_files())
    document["batch"]["adapters"] = [
        {"name": "games", "stage": "tune", "uri": None},
        {"name": "films", "stage": None, "uri": "volume:films"},
    ]
    job = config.parse(document | {"inputs": {"tune": {"artifact": games}}})
    model = inference_model.choose(job, BASE)
    assert [adapter.rank for adapter in model.loaded] == [12, 32]
    assert model.answering("games").endswith("/tune/0123456789ab/1/adapter")
    assert model.answering("films") == str(tmp_path / "films")
    assert model.answering(None) == model.source == BASE.folder


def test_a_whole_model_is_no_adapter(stage_config: Document) -> None:
    document = stage_config("batch")
    made = publish(document, "model", {"model/config.json": "{}"})
    document["batch"]["adapters"] = [{"name": "games", "stage": "tune", "uri": None}]
    with pytest.raises(JobError, match="name it in model"):
        inference_model.choose(config.parse(document | {"inputs": {"tune": {"artifact": made}}}), BASE)


def test_a_full_model_stands_alone(stage_config: Document) -> None:
    document = stage_config("batch")
    model = chosen(document, publish(document, "model", {"model/config.json": "{}"}))
    assert model.source.endswith("/tune/0123456789ab/1/model")


@pytest.mark.parametrize(
    ("kind", "files", "digest", "reason"),
    [
        ("adapter", adapter_files(), "sha256:other", "InputChanged"),
        ("adapter", adapter_files(use_dora=True), BASE.digest, "OptionInvalid"),
        ("adapter", adapter_files(modules_to_save=["lm_head"]), BASE.digest, "OptionInvalid"),
        ("adapter", {"adapter/adapter_config.json": "no JSON"}, BASE.digest, "ModelInvalid"),
        ("adapter", {"adapter/README.md": ""}, BASE.digest, "ModelInvalid"),
        ("model", {"model/README.md": ""}, BASE.digest, "ModelInvalid"),
        ("rows", {"rows/part-00000.jsonl": ""}, BASE.digest, "OptionInvalid"),
    ],
)
def test_what_cannot_be_loaded(
    stage_config: Document, kind: str, files: dict[str, str], digest: str, reason: str
) -> None:
    document = stage_config("batch")
    artifact = publish(document, kind, files, digest)
    with pytest.raises(JobError) as caught:
        chosen(document, artifact)
    assert caught.value.reason == reason


def test_an_artifact_that_is_gone(stage_config: Document) -> None:
    document = stage_config("batch")
    artifact = publish(document, "adapter", adapter_files()) | {"digest": "sha256:another"}
    with pytest.raises(JobError) as caught:
        chosen(document, artifact)
    assert caught.value.reason == "ArtifactMissing"


@pytest.mark.parametrize(("rank", "expected"), [(1, 1), (2, 8), (8, 8), (9, 16), (257, 320), (512, 512)])
def test_ranks_are_rounded_up_to_those_of_vllm(rank: int, expected: int) -> None:
    assert inference_model.engine_rank(rank) == expected


def test_a_rank_that_vllm_lacks() -> None:
    with pytest.raises(JobError, match="513"):
        inference_model.engine_rank(513)


@pytest.mark.capability("parallelism")
@pytest.mark.parametrize(
    ("accelerator", "expected"),
    [
        (None, {"dtype": "float32", "enforce_eager": True}),
        ({"type": "L4", "count": 2}, {"tensor_parallel_size": 2, "pipeline_parallel_size": 1}),
        ({"type": "L4", "count": 0.5}, {"gpu_memory_utilization": 0.45}),
    ],
)
def test_engine_arguments_fit_the_device(
    stage_config: Document, accelerator: dict[str, Any] | None, expected: dict[str, Any]
) -> None:
    job = config.parse(stage_config("batch") | {"accelerator": accelerator})
    options = {"engineKwargs": {"max_model_len": 64}, "parallelism": {"tensor": 2}}
    arguments = engine.arguments(job, inference_model.InferenceModel("/m", "/m"), options)
    assert expected.items() <= arguments.items()
    assert arguments["max_model_len"] == 64


def test_a_training_starts_from_the_whole_model_of_an_earlier_one(stage_config: Document) -> None:
    document = stage_config("fineTune")
    document["fineTune"]["model"] = {"stage": "tune"}
    made = publish(document, "model", {"model/config.json": "{}"})
    job = config.parse(document | {"inputs": {"tune": {"artifact": made}}})
    assert inference_model.starting_from(job).model["source"] == f"{made['uri']}/model"


def test_no_training_starts_from_an_adapter(stage_config: Document) -> None:
    document = stage_config("fineTune")
    document["fineTune"]["model"] = {"stage": "tune"}
    made = publish(document, "adapter", adapter_files())
    job = config.parse(document | {"inputs": {"tune": {"artifact": made}}})
    with pytest.raises(JobError, match=r"is an adapter, no whole model; set export.merge in stage tune"):
        inference_model.starting_from(job)
