"""What a step of LoRA on the shape of Qwen2.5-7B takes of a GPU: python bench/gpu_memory.py (GPU of 80 GB)."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config

SHAPE = Qwen2Config(
    hidden_size=3584,
    intermediate_size=18944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    vocab_size=152064,
)

torch.set_default_dtype(torch.bfloat16)
with torch.device("cuda"):
    base = AutoModelForCausalLM.from_config(SHAPE, attn_implementation="sdpa")
torch.set_default_dtype(torch.float32)
adapters = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
trained = [weight for weight in get_peft_model(base, adapters).parameters() if weight.requires_grad]
base.train()
optimizer = torch.optim.AdamW(trained)
print(torch.cuda.get_device_name(), torch.__version__)
for rows, checkpointing in ((1, False), (2, False), (3, False), (4, True), (8, True)):
    if checkpointing:
        base.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.randint(0, 1000, (rows, 2048), device="cuda")
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        with torch.autocast("cuda", dtype=torch.bfloat16):  # no logits: the jobs compute the loss in chunks
            base.model(input_ids=ids, use_cache=False).last_hidden_state.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"{rows} rows, checkpointing {checkpointing}: {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")
