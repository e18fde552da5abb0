"""The model card: README.md beside the weights, as the Hugging Face hub and people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from llmworkflow_jobs import hub, storage, web
from llmworkflow_jobs.config import JobConfig

FILE = "README.md"

_LIBRARIES = {"adapter": "peft", "model": "transformers"}
_METHODS = {"lora": "LoRA", "qlora": "QLoRA", "full": "all weights"}
_OPTIONS = ("lora", "training", "preference")


def write(config: JobConfig, kind: str, lineage: Mapping[str, Any]) -> None:
    """Put the card into the folder of the adapter or the model, over what a library wrote there."""
    filesystem, path = storage.open_uri(f"{config.output_uri}/{kind}/{FILE}", config)
    storage.write_text(filesystem, path, text(config, kind, lineage))


def text(config: JobConfig, kind: str, lineage: Mapping[str, Any]) -> str:
    """The card of what this attempt made, with what its manifest will say of it."""
    section, stage, workflow = config.section, config.stage, config.workflow
    base = lineage["base"]
    made_by = f"stage {stage['name']} of workflow {workflow['namespace']}/{workflow['name']}"
    parts = [
        *_head(config, kind, str(base["source"])),
        f"# {workflow['name']}: {stage['name']}",
        f"{_described(section, kind)} of `{base['source']}`.",
        f"Made by {made_by}, revision {stage['revision']}, attempt {stage['attempt']}.",
        "## Made from",
        _table(("what", "digest"), [(base["source"], base["digest"]), *_data(lineage)]),
        "## Options",
        _table(("option", "value"), _options(section)),
        "## Measured while training",
        _table(("metric", "value"), [(name, _short(value)) for name, value in lineage["metrics"].items()]),
        "What it scores as an answer is measured by the batches that read it: `llmworkflow models` lists that.",
        "## Licence",
        "Unknown to what made this. It depends on those of the base model and of the data.",
    ]
    return "\n\n".join(parts) + "\n"


def _data(lineage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for uri, digest in lineage["data"].items():
        yield web.shown(uri), digest


def _head(config: JobConfig, kind: str, source: str) -> Iterator[str]:
    """What the hub reads, as YAML; JSON is YAML."""
    fields = {
        "base_model": source.removeprefix(hub.SCHEME),
        "library_name": _LIBRARIES[kind],
        "license": "unknown",
        "tags": ["llmworkflow", *_training(config.section)],
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    yield "\n".join(["---", *lines, "---"])


def _described(section: Mapping[str, Any], kind: str) -> str:
    method, objective = _training(section)
    what = "An adapter" if kind == "adapter" else "A fine-tuned model"
    return f"{what} ({_METHODS.get(method, method)}, objective {objective})"


def _training(section: Mapping[str, Any]) -> tuple[str, str]:
    """What was trained, and what it learned; an engine with a YAML of its own says so there."""
    own = section["config"]
    if own is None:
        return section["method"], section["objective"]
    return own.get("finetuning_type", "lora"), own.get("stage", "sft")


def _options(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The engine's own YAML where it has one, else every option that bears on the result."""
    if section["config"] is not None:
        yield from ((f"config.{name}", _short(value)) for name, value in section["config"].items())
        return
    for part in _OPTIONS:
        if part == "lora" and section["method"] == "full":
            continue
        if part == "preference" and section["objective"] not in ("dpo", "kto"):
            continue
        for name, value in section[part].items():
            if value not in (None, [], {}):
                yield f"{part}.{name}", _short(value)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(head: tuple[str, str], rows: Any) -> str:
    """A table of two columns; what would break out of a cell is escaped."""
    cells = [tuple(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {first} | {second} |" for first, second in [head, ("---", "---"), *cells])
