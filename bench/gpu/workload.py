"""What both measurements share: a Qwen2.5-7B shape without trained weights, its tokenizer, rows, configurations."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmworkflow.api.fields import SpecModel
from llmworkflow.api.spec.model import Model, Prompt
from llmworkflow.render.stage_config import public
from llmworkflow_jobs.config import JobConfig, parse

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SHAPE = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "eos_token_id": 2,
    "bos_token_id": None,
}
# Of vLLM's engine, for inference without trained weights.
ENGINE = {
    "load_format": "dummy",
    "dtype": "bfloat16",
    "max_model_len": 2048,
    "enable_prefix_caching": True,
    "gpu_memory_utilization": 0.9,
}
# As long as what ViGGO is usually asked with.
INSTRUCTION = """Given a target sentence construct the underlying meaning representation of the input sentence as a \
single function with attributes and attribute values. This function should describe the target string accurately and \
the function must be one of the following ['inform', 'request', 'give_opinion', 'confirm', 'verify_attribute', \
'suggest', 'request_explanation', 'recommend', 'request_attribute']. The attributes must be one of the following: \
['name', 'exp_release_date', 'release_year', 'developer', 'esrb', 'rating', 'genres', 'player_perspective', \
'has_multiplayer', 'platforms', 'available_on_steam', 'has_linux_release', 'has_mac_release', 'specifier']"""
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# With it a row has 308 tokens on average, as with Qwen's own tokenizer.
VOCABULARY = 780


def read_rows(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Rows of an alpaca file of ViGGO, each asked with INSTRUCTION."""
    lines = path.read_text(encoding="utf-8").splitlines()[:limit]
    return [json.loads(line) | {"instruction": INSTRUCTION} for line in lines]


def texts(data: Path) -> list[str]:
    """What the tokenizer learns from; the instruction counts as much as it does in the rows."""
    rows = read_rows(data / "train.jsonl")
    return [f"{row['input']} {row['output']}" for row in rows] + [INSTRUCTION] * 100


def make_model(folder: Path, corpus: list[str], weights: bool) -> None:
    """Save configuration and tokenizer, and random weights if they are to be trained."""
    from transformers import AutoModelForCausalLM, Qwen2Config

    config = Qwen2Config(**SHAPE, dtype="bfloat16", architectures=["Qwen2ForCausalLM"])
    if weights:
        import torch

        torch.manual_seed(0)
        with torch.device("cuda"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(folder)
    else:
        config.save_pretrained(folder)
    _tokenizer(corpus).save_pretrained(folder)


def job(kind: str, folder: Path, section: SpecModel, revision: str) -> JobConfig:
    """The configuration of a stage on one GPU, with the model at `folder`/model."""
    return parse(document(kind, folder, section, revision))


def document(kind: str, folder: Path, section: SpecModel, revision: str) -> dict[str, Any]:
    """The same as the operator writes it."""
    return {
        "schemaVersion": 1,
        "workflow": {"namespace": "default", "name": "bench", "uid": "0f6c0d2a"},
        "stage": {"name": kind.lower(), "kind": kind, "revision": revision, "attempt": 1},
        "storage": {"uri": folder.as_uri(), "path": "work", "endpoint": None, "adopt": False},
        "accelerator": {"type": None, "count": 1},
        "model": public(Model(source="volume:model")),
        "prompt": public(Prompt()),
        kind: public(section),
    }


def in_process(run: Callable[..., Any], *arguments: Any) -> Any:
    """What `run` returns, from a process of its own, which may start others."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run, *arguments).result()


def _tokenizer(corpus: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the rows: Qwen's own is not at hand where there is no network."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=_filled(backend),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
    )


def _filled(backend: Tokenizer) -> Tokenizer:
    """The tokenizer with a text for each id of the model, whose random answers would else take long to decode."""
    from tokenizers import Tokenizer

    document = json.loads(backend.to_str())
    known = document["model"]["vocab"]
    known |= {f"~{number}": number for number in range(len(known), SHAPE["vocab_size"])}
    return Tokenizer.from_str(json.dumps(document))
