"""Configurations of models, as they are published."""

from typing import Any

QWEN_7B: dict[str, Any] = {  # Qwen/Qwen2.5-7B-Instruct
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
