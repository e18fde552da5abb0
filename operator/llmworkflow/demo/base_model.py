"""Makes the demo's base model: a Qwen2 of half a million parameters, trained from random weights on a CPU.

The model learns to read the sentences of the grammar through two lessons, each of which asks for one half of what
fine-tuning will ask for: the list of the attributes without the dialogue act, and the dialogue act alone. It never sees
the task itself, so its exact match there is zero, as with a real base model that answers in a format of its own. A LoRA
adapter then has something to build on: the tied embedding stays frozen, so every token of the response, brackets and
acts included, has to be known before.
"""

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer
from transformers.utils.logging import disable_progress_bar

from llmworkflow.demo import grammar
from llmworkflow.demo.grammar import Meaning

STEPS = 400
BATCH_SIZE = 32
VOCABULARY = 1024  # at most; the grammar's words need fewer
THREADS = 1  # tiny matrices gain little from more, and with one the same machine makes the same weights
POOL = 16  # batches cut at a time from rows sorted by length, which saves a third of the padding

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# Instruction, response and how often: the act alone is learned at once, the list takes practice.
LESSONS: tuple[tuple[str, Callable[[Meaning], str], int], ...] = (
    ("List the attributes.", lambda meaning: f"({meaning.listed_attributes})", 4),
    ("Name the dialogue act.", lambda meaning: meaning.act, 1),
)

Progress = Callable[[float, str], None]
Lesson = tuple[str, str, str]


def cached(cache: Path, progress: Progress) -> Path:
    """The folder of the base model below `cache`, made first where it is missing or of another recipe."""
    folder = cache / f"base-model-{recipe_digest()}"
    if not folder.is_dir():
        make(folder, progress)
    return folder


def recipe_digest() -> str:
    """12 hexadecimal digits that change with the code that makes the model."""
    sources = (Path(path).read_bytes() for path in (__file__, grammar.__file__))
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]


def make(folder: Path, progress: Progress) -> None:
    """Train the model and save it with its tokenizer to `folder`.

    `progress` is told the fraction done, 0 to 1, with a message. The folder appears in one piece at the end, so what an
    interruption leaves is never taken for a model. The same torch on the same kind of processor makes the same weights.
    """
    disable_progress_bar()
    torch.set_num_threads(THREADS)
    torch.manual_seed(grammar.SEED)
    tokenizer = make_tokenizer()
    model = untrained_model(tokenizer)
    train(model, batches(tokenizer), progress)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".making-", dir=folder.parent) as scratch:
        finished = Path(scratch, folder.name)
        model.save_pretrained(finished)
        tokenizer.save_pretrained(finished)
        if not folder.is_dir():  # else another process was faster
            finished.rename(folder)


def lessons(seed: int) -> Iterator[Lesson]:
    """Endless (instruction, sentence, response)."""
    rng = Random(seed)
    weights = [weight for *_, weight in LESSONS]
    while True:
        sentence, meaning = grammar.PRETRAINING.draw(rng)
        ((instruction, response, _),) = rng.choices(LESSONS, weights)
        yield instruction, sentence, response(meaning)


def make_tokenizer() -> Qwen2Tokenizer:
    """Qwen2's tokenizer with merges of the grammar's words and a ChatML template; padding is not the end of a turn.

    `AutoTokenizer` loads every Qwen2's tokenizer as this class, which splits text its own way whatever was saved.
    """
    texts = ["user\n", "assistant\n", "system\n", grammar.INSTRUCTION]
    texts += ["\n".join(lesson) for lesson in islice(lessons(grammar.SEED), 4_000)]
    blank = Qwen2Tokenizer(eos_token=TURN_END, pad_token=END_OF_TEXT, additional_special_tokens=[TURN_START])
    tokenizer: Qwen2Tokenizer = blank.train_new_from_iterator(texts, VOCABULARY, show_progress=False)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def untrained_model(tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    """Random weights. Heads of 32, the smallest that vLLM's attention has on a CPU."""
    tokens = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        # About 1 / sqrt(hidden_size): with the usual 0.02 learning takes three times as many steps.
        initializer_range=0.08,
        bos_token_id=None,
        **tokens,
    )
    model = Qwen2ForCausalLM(config)
    model.generation_config = GenerationConfig(**tokens)
    return model


def batches(tokenizer: Qwen2Tokenizer) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of token ids and labels, both (BATCH_SIZE, length); labels are -100 but for the response."""
    rng = Random(grammar.SEED)
    stream = (encode(tokenizer, lesson) for lesson in lessons(grammar.SEED + 1))
    while True:
        pool = sorted(islice(stream, POOL * BATCH_SIZE), key=lambda pair: len(pair[0]))
        for start in rng.sample(range(0, len(pool), BATCH_SIZE), POOL):
            yield collate(pool[start : start + BATCH_SIZE], tokenizer.pad_token_id)


def encode(tokenizer: Qwen2Tokenizer, lesson: Lesson) -> tuple[list[int], list[int]]:
    """The token ids of the prompt, one user turn up to the answer, and of the response with its end of turn."""
    instruction, sentence, response = lesson
    turn = {"role": "user", "content": f"{instruction}\n{sentence}"}
    prompt = tokenizer.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    return tokenizer.encode(prompt), tokenizer.encode(response + TURN_END)


def collate(pairs: list[tuple[list[int], list[int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and labels of one batch, padded at the end."""
    longest = max(len(prompt) + len(response) for prompt, response in pairs)
    ids = torch.full((len(pairs), longest), pad)
    labels = torch.full((len(pairs), longest), -100)
    for row, (prompt, response) in enumerate(pairs):
        end = len(prompt) + len(response)
        ids[row, :end] = torch.tensor(prompt + response)
        labels[row, len(prompt) : end] = torch.tensor(response)
    return ids, labels


def train(model: Qwen2ForCausalLM, source: Iterator[tuple[Tensor, Tensor]], progress: Progress) -> None:
    """Take STEPS steps, each on one batch of `source`."""
    optimizers = make_optimizers(model)
    schedules = [LambdaLR(optimizer, rate_at) for optimizer in optimizers]
    for step, (ids, labels) in enumerate(islice(source, STEPS), start=1):
        loss = loss_of(model, ids, labels)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in (*optimizers, *schedules):
            stepper.step()
        if step % 10 == 0:
            progress(step / STEPS, f"step {step}/{STEPS}, loss {loss.item():.3f}")


def make_optimizers(model: Qwen2ForCausalLM) -> list[Optimizer]:
    """Muon for the matrices, which learn in half the steps with it, and AdamW for embedding, norms and biases.

    The strong decay is what carries the reading over to combinations of attributes that were never seen together.
    """
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        Muon(matrices, lr=0.01, weight_decay=1.0),
        AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_at(step: int) -> float:
    """The learning rate's factor: up over a twentieth of the steps, then level, down to zero over the second half."""
    return min(1.0, (step + 1) / (0.05 * STEPS), (STEPS - step) / (0.5 * STEPS))


def loss_of(model: Qwen2ForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the responses. Rows are padded at the end, where causal attention needs no mask."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    answered = targets != -100
    return cross_entropy(model.lm_head(hidden[answered]), targets[answered])
