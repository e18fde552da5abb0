"""What the tests of the jobs share: a tokenizer with a chat template, and configurations of stages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmworkflow.api.fields import SpecModel
from llmworkflow.api.spec.batch import Batch, Evaluate
from llmworkflow.api.spec.fine_tune import FineTune
from llmworkflow.api.spec.model import Model, Prompt
from llmworkflow.api.spec.serve import Serve
from llmworkflow.render.stage_config import public

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# What differs from the defaults of the resource, so that a tiny model on a CPU is done in seconds.
SECTIONS: dict[str, tuple[type[SpecModel], dict[str, Any]]] = {
    "fineTune": (
        FineTune,
        {
            "data": {"train": [{"uri": "volume:train.jsonl"}]},
            "training": {
                "learningRate": 1e-2,
                "perDeviceTrainBatchSize": 8,
                "globalBatchSize": 8,
                "maxLength": 256,
                "precision": "fp32",
                "evalSteps": 10,
                "loggingSteps": 5,
                "saveSteps": 10,
            },
        },
    ),
    "batch": (
        Batch,
        {
            "input": {"uri": "volume:test.jsonl"},
            "sampling": {"maxTokens": 16},
            "output": {"format": "jsonl"},
            "onRowError": "fail",
            "batchSize": 16,
        },
    ),
    "serve": (Serve, {"models": [{"modelId": "viggo"}]}),
}


@pytest.fixture(scope="session", autouse=True)
def _no_cluster_of_the_developer() -> Iterator[None]:
    """Commands speak to the cluster of the kubeconfig: the tests', or none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", os.devnull)
        patch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        yield


@pytest.fixture(scope="session")
def stage_document() -> Callable[..., dict[str, Any]]:
    """A function (kind, storage's uri, **changes) that returns the JSON document of a stage's configuration.

    It is as the operator writes it. A change is merged into the section or document of its name, such as
    training={"maxSteps": 3} or stage={"attempt": 2}; what evaluate leaves out is at its default.
    """

    def make(kind: str, storage_uri: str, **changes: Any) -> dict[str, Any]:
        model, fields = SECTIONS[kind]
        document = {
            "schemaVersion": 1,
            "workflow": {"namespace": "default", "name": "viggo", "uid": "0f6c0d2a"},
            "stage": {"name": "stage", "kind": kind, "revision": "0123456789ab", "attempt": 1},
            "storage": {"uri": storage_uri, "path": "default/viggo", "endpoint": None, "adopt": False},
            "accelerator": None,
            "model": public(Model(source="volume:model")),
            "prompt": public(Prompt()),
            "inputs": {},
            "incumbents": {},
            "pinned": {},
            kind: public(model.model_validate(fields)),
        }
        if kind == "serve":  # what the operator tells the engines beside the spec
            served = [{**model, "loadsAdapters": False} for model in document["serve"]["models"]]
            document["serve"] |= {"models": served, "apiKeys": False}
        if changes.get("evaluate"):
            changes["evaluate"] = public(Evaluate.model_validate(changes["evaluate"]))
        for name, change in changes.items():
            target = document if name in document else document[kind]
            merged = isinstance(target[name], dict) and isinstance(change, dict)
            target[name] = target[name] | change if merged else change
        return document

    return make


@pytest.fixture
def stage_config(
    tmp_path: Path, stage_document: Callable[..., dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    """`stage_document` with the folder of the test as storage: a function (kind, **changes)."""
    return lambda kind, **changes: stage_document(kind, tmp_path.as_uri(), **changes)


@pytest.fixture(scope="session")
def chat_tokenizer() -> Any:
    """A byte-level BPE tokenizer with a ChatML template, whose end of turn, <|im_end|>, is not its padding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(
        ["system user assistant inform name release year what is the name of"], trainer
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )
